#include "ops/repair_internal.h"
int repair_snapshots(struct repair *r, struct err *e)
{
	(void)r; (void)e; return 0;
}
