ATTACH $path AS {name} (READ_ONLY $read_only)
