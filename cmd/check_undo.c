/* Repairs that are taken back, or only planned. */
#include "cmd/check_undo.h"

#include <inttypes.h>
#include <stdio.h>

#include "ops/repair_undo.h"
#include "out/emit.h"

#define LINES_MAX 1000

void check_undo_take(const struct cmd *c, const struct check_undo *u, const char *repair,
		     bool rebuild)
{
	if (u->apply && (repair || u->undo || u->plan))
		cmd_usage(c, "--undo-apply goes with no other repair");
	if (((u->undo && !rebuild) || u->plan) && !repair)
		cmd_usage(c, "%s needs -r leaks or -r all", u->undo ? "--undo" : "--dry-run");
	if (u->undo && u->plan)
		cmd_usage(c, "--dry-run writes nothing that --undo could take back");
}

int check_undo_apply(const char *name, const char *undo)
{
	struct repair_undone done = { 0 };
	struct err e = ERR_INIT;
	struct spec s = { 0 };
	int ret = operand_spec(&s, name, cmd_flags.format, &e);

	if (ret == 0)
		ret = repair_undo(&s, undo, &cmd_listener, &done, &e);
	spec_fini(&s);
	if (ret < 0) {
		cmd_error_of(&e);
		return 1;
	}
	if (!cmd_flags.quiet)
		printf("%" PRIu64 " bytes were put back.\n", done.bytes);
	if (done.torn)
		cmd_note("the undo file ends in the middle of a record: the repair was stopped before "
			 "it wrote what that is for");
	return 0;
}

void check_plan_human(const struct repair_plan *p)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < p->nr; i++)
		bytes += p->writes[i].len;
	printf("\n%" PRIu64 " bytes in %zu places would be written; nothing was.\n", bytes, p->nr);
	for (size_t i = 0; i < p->nr && i < LINES_MAX; i++)
		printf("    0x%" PRIx64 "+0x%" PRIx64 "%s%s\n", p->writes[i].off, p->writes[i].len,
		       p->writes[i].what ? " " : "", p->writes[i].what ? p->writes[i].what : "");
	if (p->nr > LINES_MAX)
		printf("    ... and %zu more (--output=json shows all)\n", p->nr - LINES_MAX);
	if (p->old_size != p->new_size)
		printf("The file would have %" PRIu64 " bytes instead of %" PRIu64 ".\n",
		       p->new_size, p->old_size);
}

void check_plan_json(struct emit *out, const struct repair_plan *p)
{
	emit_integer(out, "file-length", NULL, p->old_size);
	emit_integer(out, "planned-file-length", NULL, p->new_size);
	emit_begin_list(out, "planned-writes", NULL);
	for (size_t i = 0; i < p->nr; i++) {
		emit_begin(out, NULL, NULL);
		emit_integer(out, "offset", NULL, p->writes[i].off);
		emit_integer(out, "length", NULL, p->writes[i].len);
		if (p->writes[i].what)
			emit_string(out, "what", NULL, p->writes[i].what);
		emit_end(out);
	}
	emit_end(out);
}
