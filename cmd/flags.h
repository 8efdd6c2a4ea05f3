#pragma once
#include <stdbool.h>

/* Options that mean the same everywhere store here. */
struct cmd_flags {
	const char *format; /* -f, NULL: probe */
	const char *output; /* --output as given */
	bool json;	    /* --output=json */
	int quiet, progress, verbose, force_share, image_opts;
	bool has_force_share; /* the command has that option */
	bool keeps_locked;    /* nothing is decrypted: an id without a secret is no matter */
};
extern struct cmd_flags cmd_flags;
