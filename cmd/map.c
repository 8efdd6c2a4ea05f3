/* qcow2-map: where the bytes of a disk are. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cmd/common.h"
#include "image/disk.h"
#include "ops/map.h"
#include "out/emit.h"
#include "out/spool.h"

#define COLUMN 16

static const struct cmd_about about = {
	.name = "map",
	.operands = "FILE",
	.purpose = "Show which ranges of a disk hold data, and where in which file.",
	.examples = "  qcow2-map disk.qcow2\n"
		    "  qcow2-map --output=json -s 1M -l 64k disk.qcow2\n",
};

struct printer {
	struct spool out;
	bool escape;	    /* file names go to a terminal */
	bool refuse_packed; /* compressed data has no row, and is an error */
	uint64_t rows;
};

/* There may be rows without end: nobody has to make them when they go nowhere. */
static int rows_lost(const struct spool *s, struct err *e)
{
	if (!s->failed)
		return 0;
	return cmd_stdout_check(e) < 0 ? -1
				       : err_set(e, ERR_IO,
						 "the temporary file for the output failed");
}

static int print_json(void *arg, const struct map_row *r, struct err *e)
{
	struct printer *p = arg;
	struct spool *s = &p->out;

	spool_text(s, p->rows++ ? ",\n{ \"start\": " : "{ \"start\": ");
	spool_decimal(s, r->start);
	spool_text(s, ", \"length\": ");
	spool_decimal(s, r->length);
	spool_text(s, ", \"depth\": ");
	spool_decimal(s, r->depth);
	spool_text(s, r->present ? ", \"present\": true" : ", \"present\": false");
	spool_text(s, r->zero ? ", \"zero\": true" : ", \"zero\": false");
	spool_text(s, r->data ? ", \"data\": true" : ", \"data\": false");
	spool_text(s, r->packed ? ", \"compressed\": true" : ", \"compressed\": false");
	if (r->has_offset) {
		spool_text(s, ", \"offset\": ");
		spool_decimal(s, r->offset);
	}
	spool_text(s, "}");
	return rows_lost(s, e);
}

static void print_file_name(struct printer *p, const char *name)
{
	char shown[4 * 4096];

	spool_text(&p->out, p->escape ? text_escape(name, strlen(name), shown, sizeof shown)
				      : name);
}

static int print_human(void *arg, const struct map_row *r, struct err *e)
{
	struct printer *p = arg;
	struct spool *s = &p->out;

	if (!r->data || r->zero)
		return 0;
	if (!r->has_offset && p->refuse_packed)
		return err_set(e, ERR_UNSUPPORTED,
			       "File contains external, encrypted or compressed clusters "
			       "(the first at offset %" PRIu64 ").",
			       r->start);
	spool_hex(s, r->start, COLUMN);
	spool_hex(s, r->length, COLUMN);
	if (r->has_offset)
		spool_hex(s, r->offset, COLUMN);
	else
		spool_text(s, r->encrypted ? "encrypted       " : "compressed      ");
	print_file_name(p, r->file);
	spool_text(s, "\n");
	return rows_lost(s, e);
}

static int map_print(struct disk *d, uint64_t start, uint64_t len, struct err *e)
{
	struct printer p = {
		.escape = emit_over(stdout, false).escape,
		.refuse_packed = strcmp(cmd_program(), "qemu-img") == 0,
	};
	int ret;

	if (!spool_begin(&p.out, stdout, cmd_flags.json))
		return err_nomem(e);
	spool_text(&p.out, cmd_flags.json ? "[" : "Offset          Length          "
						  "Mapped to       File\n");
	ret = map_disk(d, start, len, cmd_flags.json ? print_json : print_human, &p,
		       cmd_watch(1), e);
	if (cmd_flags.json)
		spool_text(&p.out, "]\n");
	if (!spool_end(&p.out, ret == 0) && ret == 0 && !ferror(stdout))
		ret = err_set(e, ERR_IO, "the temporary file for the output failed");
	return ret;
}

static uint64_t size_option(const char *name, const char *text, uint64_t none)
{
	struct err e = ERR_INIT;
	uint64_t size = none;

	if (text && size_from_text(name, text, &size, &e) < 0) {
		cmd_error_of(&e);
		exit(1);
	}
	return size;
}

int main(int argc, const char **argv)
{
	const char *start_text = NULL, *len_text = NULL, *snapshot = NULL;
	struct poptOption options[] = {
		{ "start-offset", 's', POPT_ARG_STRING, &start_text, 0,
		  "begin at this guest offset (default: 0)", "OFFSET" },
		{ "max-length", 'l', POPT_ARG_STRING, &len_text, 0,
		  "show this many bytes (default: up to the end)", "LENGTH" },
		{ "snapshot", 0, POPT_ARG_STRING, &snapshot, 0,
		  "show this internal snapshot: an id, or else a name", "SNAPSHOT" },
		OPTION_FORMAT, OPTION_IMAGE_OPTS, OPTION_FORCE_SHARE, OPTION_OUTPUT,
		OPTIONS_COMMON, POPT_TABLEEND
	};
	struct cmd c = cmd_start(argc, argv, &about, options);
	const char *file = cmd_arg(&c, "FILE");

	cmd_no_more_args(&c);
	uint64_t start = size_option("start offset", start_text, 0);
	uint64_t len = size_option("max length", len_text, UINT64_MAX);

	const struct disk_options how = {
		.flags = DISK_HOLES | DISK_HOLES_IF_SPARSE,
		.snapshot = snapshot,
		.listener = &cmd_listener,
	};
	struct spec s = { 0 };
	struct err e = ERR_INIT;
	struct disk *d = operand_spec(&s, file, cmd_flags.format, &e) < 0 ? NULL : disk_open(&s, &how, &e);
	int ret = d ? map_print(d, start, len, &e) : -1;

	disk_close(d);
	spec_fini(&s);
	return cmd_finish(&c, ret, &e);
}
