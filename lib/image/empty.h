#pragma once
#include "image/writer.h"

/* Gives up everything that the layer of w itself says: its backing file, or zeros, show instead
 * (11.4). Snapshots and bitmaps stay what they are. After a crash, and while it goes on, each byte
 * reads as before or as what is behind it does; everything is durable when this returns 0. w can
 * only be freed afterwards, and the disk closed. */
int image_empty(struct image_writer *w, struct err *e) MUST_CHECK;
