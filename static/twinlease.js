// Live updates, search as you type, the map. Every page works without it.
