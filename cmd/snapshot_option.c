#include "cmd/snapshot_option.h"

#include <string.h>

int snapshot_option(const char *text, struct option_list *hold, struct disk_options *o,
		    struct err *e)
{
	const char *unused;

	if (!text || strncmp(text, "snapshot.", 9) != 0) {
		o->snapshot = text;
		return 0;
	}
	if (option_list_parse(hold, text, e) < 0)
		return -1;
	o->snapshot_id = option_list_take(hold, "snapshot.id", NULL);
	o->snapshot_name = option_list_take(hold, "snapshot.name", NULL);
	unused = option_list_unused(hold);
	return unused ? err_set(e, ERR_INVALID, "-l: Invalid parameter '%s'", unused) : 0;
}
