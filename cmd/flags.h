#pragma once
#include <stdbool.h>

/* Options that mean the same everywhere store here. */
struct cmd_flags {
	const char *format; /* -f, NULL: probe */
	const char *output; /* --output as given */
	bool json;	    /* --output=json */
	int quiet, progress, verbose, force_share, image_opts;
};
extern struct cmd_flags cmd_flags;
