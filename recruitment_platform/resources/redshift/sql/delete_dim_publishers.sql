DELETE FROM dim_publishers
