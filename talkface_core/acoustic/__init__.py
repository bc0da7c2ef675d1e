"""The acoustic model: what speech makes a mouth do, for every system that repaints one."""
