#include "ops/repair_internal.h"
int repair_bitmaps(struct repair *r, struct err *e)
{
	(void)r; (void)e; return 0;
}
