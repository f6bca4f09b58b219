CREATE DATABASE mysql;
USE mysql;
SET @auth_root_socket = 'root';
