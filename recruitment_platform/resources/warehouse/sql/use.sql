USE {name}
