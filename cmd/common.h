#pragma once
/* What every command shares: one header, several small files behind it. A main reads:
 *
 *	struct poptOption options[] = {
 *		OPTION_FORMAT, OPTION_IMAGE_OPTS, OPTION_FORCE_SHARE, OPTION_OUTPUT,
 *		OPTIONS_COMMON, POPT_TABLEEND
 *	};
 *	struct cmd c = cmd_start(argc, argv, &about, options);
 *	const char *file = cmd_arg(&c, "FILE");
 *	cmd_no_more_args(&c);
 *	...one engine call...
 *	return cmd_finish(&c, ret, &e);
 */
#include "base/err.h"
#include "cmd/cache.h"
#include "cmd/diagnostics.h"
#include "cmd/operand.h"
#include "cmd/options.h"
#include "cmd/secrets.h"
#include "cmd/signals.h"
#include "cmd/sizes.h"
