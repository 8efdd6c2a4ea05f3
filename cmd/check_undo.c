/* Repairs that are taken back, or only planned. */
#include "cmd/check_undo.h"

#include <inttypes.h>
#include <stdio.h>

#include "ops/repair_undo.h"
#include "out/emit.h"

#define LINES_MAX 1000

void check_undo_take(const struct cmd *c, const struct check_undo *u, const char *repair,
		     bool rebuild, bool looks)
{
	if (u->apply && (repair || u->undo || u->plan))
		cmd_usage(c, "--undo-apply goes with no other repair");
	if (u->apply && looks)
		cmd_usage(c, "--undo-apply can't go with --deep, --details, --max-errors, "
			     "--free-suspects, --drop-snapshots, --reattach or --attach");
	if (u->apply && cmd_flags.force_share)
		cmd_usage(c, "--undo-apply writes to the image: it can't go with -U");
	if (((u->undo && !rebuild) || u->plan) && !repair)
		cmd_usage(c, "%s needs -r leaks or -r all", u->undo ? "--undo" : "--dry-run");
	if (u->undo && u->plan)
		cmd_usage(c, "--dry-run writes nothing that --undo could take back");
}

unsigned check_write_flags(const struct spec *s, const struct cache_mode *cache)
{
	return (cache->sync_writes ? FILE_SYNC_WRITES : 0) |
	       (cache->no_flush || s->no_flush ? FILE_NO_FLUSH : 0);
}

static void undone_print(const char *name, const struct repair_undone *done)
{
	struct emit out = emit_over(stdout, true);

	if (!cmd_flags.json) {
		if (!cmd_flags.quiet)
			printf("%" PRIu64 " bytes were put back.\n", done->bytes);
		return;
	}
	emit_begin(&out, NULL, NULL);
	emit_string(&out, "filename", NULL, name);
	emit_integer(&out, "bytes-put-back", NULL, done->bytes);
	emit_bool(&out, "undo-file-torn", NULL, done->torn);
	emit_end(&out);
}

int check_undo_apply(const char *name, const char *undo, const char *cache_word)
{
	struct cache_mode cache;
	struct repair_undone done = { 0 };
	struct err e = ERR_INIT;
	struct spec s = { 0 };
	int ret = cache_from_text("source cache", cache_word, &cache, &e);

	if (ret == 0)
		ret = operand_spec(&s, name, cmd_flags.format, &e);
	if (ret == 0 && (s.read_only || s.force_share))
		ret = err_set(&e, ERR_INVALID, "--undo-apply writes to the image: it can't go with "
					       "read-only=on or force-share=on");
	if (ret == 0) {
		s.direct = s.direct || cache.direct;
		ret = repair_undo(&s, undo, check_write_flags(&s, &cache), &cmd_listener, &done,
				  &e);
	}
	spec_fini(&s);
	if (ret < 0) {
		cmd_error_of(&e);
		return 1;
	}
	undone_print(name, &done);
	if (done.torn)
		cmd_note("the undo file ends in the middle of a record: the repair was stopped before "
			 "it wrote what that is for");
	return 0;
}

void check_plan_human(const struct repair_plan *p)
{
	char text[PLANNED_TEXT_MAX];
	uint64_t bytes = 0;

	for (size_t i = 0; i < p->nr; i++)
		bytes += p->writes[i].len;
	printf("\n%" PRIu64 " bytes in %zu places would be written; nothing was.\n", bytes, p->nr);
	for (size_t i = 0; i < p->nr && i < LINES_MAX; i++) {
		const char *what = planned_write_text(&p->writes[i], text);

		printf("    0x%" PRIx64 "+0x%" PRIx64 "%s%s\n", p->writes[i].off, p->writes[i].len,
		       what ? " " : "", what ? what : "");
	}
	if (p->nr > LINES_MAX)
		printf("    ... and %zu more (--output=json shows all)\n", p->nr - LINES_MAX);
	if (p->old_size != p->new_size)
		printf("The file would have %" PRIu64 " bytes instead of %" PRIu64 ".\n",
		       p->new_size, p->old_size);
}

void check_plan_json(struct emit *out, const struct repair_plan *p)
{
	char text[PLANNED_TEXT_MAX];

	emit_integer(out, "file-length", NULL, p->old_size);
	emit_integer(out, "planned-file-length", NULL, p->new_size);
	emit_begin_list(out, "planned-writes", NULL);
	for (size_t i = 0; i < p->nr; i++) {
		emit_begin(out, NULL, NULL);
		emit_integer(out, "offset", NULL, p->writes[i].off);
		emit_integer(out, "length", NULL, p->writes[i].len);
		if (planned_write_text(&p->writes[i], text))
			emit_string(out, "what", NULL, text);
		emit_end(out);
	}
	emit_end(out);
}
