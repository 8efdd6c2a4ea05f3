#include "cmd/sizes.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/size.h"
#include "cmd/diagnostics.h"

#define SIZE_FORMS "digits, with an optional suffix k, M, G, T, P or E (1.5G, 512k, 0x1000)"
#define SIZE_BOUNDS "between 0 and 9223372036854775807"

static void warn_hex_suffix(const char *name, const char *text)
{
	cmd_warn("%s '%s': a hexadecimal number with a suffix is deprecated", name, text);
}

int size_from_text(const char *name, const char *text, uint64_t *out, struct err *e)
{
	switch (size_parse(text, out)) {
	case SIZE_HEX_SUFFIX:
		warn_hex_suffix(name, text);
		return 0;
	case SIZE_OK:
		return 0;
	case SIZE_OUT_OF_RANGE:
		return err_set(e, ERR_INVALID,
			       "Invalid %s specified: '%s' is not " SIZE_BOUNDS, name, text);
	default:
		return err_set(e, ERR_INVALID,
			       "Invalid %s specified: '%s' is not a size; write " SIZE_FORMS,
			       name, text);
	}
}

int size_from_parameter(const char *name, const char *text, uint64_t *out, struct err *e)
{
	switch (size_parse(text, out)) {
	case SIZE_HEX_SUFFIX:
		warn_hex_suffix(name, text);
		return 0;
	case SIZE_OK:
		return 0;
	case SIZE_OUT_OF_RANGE:
		return err_set(e, ERR_INVALID,
			       "Parameter '%s' is out of range: '%s' is not " SIZE_BOUNDS, name,
			       text);
	default:
		return err_set(e, ERR_INVALID,
			       "Parameter '%s' expects a size, not '%s': " SIZE_FORMS, name,
			       text);
	}
}

int count_from_text(const char *name, const char *text, uint64_t min, uint64_t max,
		    uint64_t *out, struct err *e)
{
	char *end;

	errno = 0;
	uintmax_t v = strtoumax(text, &end, 0);
	if (!isdigit((unsigned char)*text) || *end || errno || v < min || v > max)
		return err_set(e, ERR_INVALID,
			       "Invalid %s specified: '%s' is not a number from %" PRIu64
			       " to %" PRIu64,
			       name, text, min, max);
	*out = v;
	return 0;
}
