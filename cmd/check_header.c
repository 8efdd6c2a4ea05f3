#include "cmd/check_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/check_report.h"
#include "cmd/check_undo.h"
#include "cmd/common.h"
#include "ops/rebuild_header.h"
#include "out/emit.h"

void check_header_take(const struct cmd *c, const struct check_header *h, bool other)
{
	if (!h->wanted && (h->size || h->apply))
		cmd_usage(c, "--size and --apply need --rebuild-header");
	if (h->wanted && other)
		cmd_usage(c, "--rebuild-header can't go with --repair and what belongs to it, "
			     "--undo-apply, --deep, --details or --max-errors");
	if (h->wanted && cmd_flags.format && strcmp(cmd_flags.format, "qcow2") != 0)
		cmd_usage(c, "--rebuild-header makes a header of qcow2, not of '%s'",
			  cmd_flags.format);
	if (h->wanted && h->undo && !h->apply)
		cmd_usage(c, "--undo needs --apply");
	if (h->apply && cmd_flags.force_share)
		cmd_usage(c, "--apply writes to the image: it can't go with -U (force-share=on)");
}

static const char *const source_words[] = {
	[REBUILD_OLD] = "old-header",	     [REBUILD_FOUND] = "found",
	[REBUILD_SNAPSHOT] = "snapshot",     [REBUILD_TOLD] = "told",
	[REBUILD_ASSUMED] = "assumed",
};

static const char *const trust_words[] = {
	[REBUILD_CERTAIN] = "certain",
	[REBUILD_LIKELY] = "likely",
	[REBUILD_DOUBTFUL] = "doubtful",
};

static const char *const encryption_words[] = {
	[CRYPT_NONE] = "none",
	[CRYPT_AES] = "aes",
	[CRYPT_LUKS] = "luks",
};

static const struct {
	const char *key, *text;
} fields[REBUILD_FIELDS] = {
	[REBUILD_VERSION] = { "version", "version" },
	[REBUILD_CLUSTER_SIZE] = { "cluster-size", "cluster size" },
	[REBUILD_SIZE] = { "virtual-size", "virtual size" },
	[REBUILD_REFCOUNTS] = { "refcounts", "refcounts" },
	[REBUILD_L1] = { "l1-table", "L1 table" },
	[REBUILD_SNAPSHOTS] = { "snapshots", "snapshots" },
	[REBUILD_FEATURES] = { "features", "features" },
	[REBUILD_ENCRYPTION] = { "encryption", "encryption" },
	[REBUILD_NAMES] = { "names", "backing file, extensions" },
};

static void encryption_emit(struct emit *out, const struct header *h)
{
	emit_string(out, "encryption", "encryption", encryption_words[h->crypt_method]);
	if (!h->has_crypto_ext)
		return;
	emit_integer(out, "luks-offset", "LUKS header at", h->crypto.header_off);
	emit_integer(out, "luks-length", "LUKS header bytes", h->crypto.header_len);
}

static void header_emit(struct emit *out, const struct rebuild *r)
{
	const struct header *h = &r->header;

	emit_integer(out, "version", "version", h->version);
	emit_integer(out, "cluster-size", "cluster size", UINT64_C(1) << h->cluster_bits);
	emit_size(out, "virtual-size", "virtual size", h->size);
	if (!r->intact) {
		emit_size(out, "mapped-end", "the disk is mapped up to", r->mapped_end);
		emit_size(out, "size-max", "the L1 table has room for", r->room_end);
	}
	emit_integer(out, "refcount-bits", "refcount bits", UINT64_C(1) << h->refcount_order);
	emit_integer(out, "refcount-table-offset", "refcount table at", h->refcount_table_off);
	emit_integer(out, "refcount-table-clusters", "refcount table clusters",
		     h->refcount_table_clusters);
	emit_integer(out, "l1-offset", "L1 table at", h->l1_table_off);
	if (!r->intact)
		emit_bool(out, "l1-new", "L1 table is a new one", r->l1_is_new);
	emit_integer(out, "l1-entries", "L1 entries", h->l1_size);
	emit_integer(out, "snapshots", "snapshots", h->nb_snapshots);
	if (h->nb_snapshots)
		emit_integer(out, "snapshots-offset", "snapshot table at", h->snapshots_off);
	emit_bool(out, "extended-l2", "extended L2",
		  h->incompatible_features & INCOMPATIBLE_EXTENDED_L2);
	emit_string(out, "compression-type", "compression type",
		    h->compression_type == COMPRESSION_ZSTD ? "zstd" : "zlib");
	encryption_emit(out, h);
	if (h->backing_name.n)
		emit_bytes(out, "backing-filename", "backing file", h->backing_name.p,
			   h->backing_name.n);
	else if (*r->text_left)
		emit_string(out, "text-left", "text left, perhaps a backing file's name",
			    r->text_left);
}

static void sources_emit(struct emit *out, const struct rebuild *r)
{
	emit_begin(out, "sources", "known from");
	for (unsigned i = 0; i < REBUILD_FIELDS; i++)
		emit_string(out, fields[i].key, fields[i].text, source_words[r->source[i]]);
	emit_end(out);
}

static void rebuild_print(const char *name, const struct rebuild *r)
{
	struct emit out = emit_over(stdout, cmd_flags.json);

	if (cmd_flags.quiet && !cmd_flags.json)
		return;
	emit_begin(&out, NULL, NULL);
	emit_string(&out, "filename", "image", name);
	emit_bool(&out, "intact", "header intact", r->intact);
	header_emit(&out, r);
	if (!r->intact)
		sources_emit(&out, r);
	emit_string(&out, "confidence", "confidence", trust_words[r->trust]);
	emit_integer(&out, "headers-checked", "headers checked", r->tried);
	emit_integer(&out, "rivals", "others as good", r->rivals);
	emit_integer(&out, "corruptions", "errors with this header", r->check.corruptions);
	emit_integer(&out, "leaks", "leaked clusters with this header", r->check.leaks);
	emit_integer(&out, "check-errors", "check errors with this header", r->check.check_errors);
	emit_bool(&out, "written", "written", r->written);
	emit_end(&out);
}

static void advise_names(const struct rebuild *r)
{
	if (r->source[REBUILD_SIZE] == REBUILD_ASSUMED)
		cmd_warn("nothing tells how large the disk is: it is made as large as the L2 tables "
			 "that were found map at most, and may have been larger; say it with --size");
	if (r->source[REBUILD_NAMES] == REBUILD_ASSUMED)
		cmd_warn("the header named the backing file, if there was one, and bitmaps: they are "
			 "not known");
	if (r->source[REBUILD_ENCRYPTION] == REBUILD_ASSUMED)
		cmd_warn("the header alone told of encryption: no LUKS header was found, so that the "
			 "disk is taken for one that is not encrypted");
}

static void advise_tables(const struct rebuild *r)
{
	if (r->l1_copied_from)
		cmd_warn("no L1 table of the disk was found: it gets a copy of a snapshot's, and is "
			 "what it was at that time");
	else if (r->l1_is_new)
		cmd_warn("no L1 table of the disk was found: it gets an empty one, and is zeros until "
			 "its L2 tables are put back, see --reattach and --attach");
	if (r->trust != REBUILD_DOUBTFUL)
		return;
	if (r->check.corruptions || r->check.check_errors)
		cmd_warn("even with this header the image has errors: see --repair");
	if (r->written)
		cmd_warn("the header that was written is doubtful: look at the disk before anything "
			 "else is written");
}

static void advise(const struct rebuild *r)
{
	if (r->intact) {
		cmd_note("the header is sound: there is nothing to rebuild");
		return;
	}
	advise_names(r);
	advise_tables(r);
}

static int request_parse(const char *name, const struct check_header *h, struct spec *s,
			 struct rebuild_options *o, struct err *e)
{
	if (operand_spec(s, name, "qcow2", e) < 0)
		return -1;
	if (h->apply && (s->read_only || s->force_share))
		return err_set(e, ERR_INVALID, "--apply writes to the image: it can't go with "
					       "read-only=on or force-share=on");
	o->has_size = h->size;
	return h->size ? size_from_text("disk size", h->size, &o->size, e) : 0;
}

int check_header_rebuild(const char *name, const struct cache_mode *cache,
			 const struct check_header *h)
{
	struct rebuild_options o = { .apply = h->apply, .undo = h->undo, .watch = cmd_watch(2) };
	struct rebuild r = { 0 };
	struct spec s = { 0 };
	struct err e = ERR_INIT;
	int ret = request_parse(name, h, &s, &o, &e);

	o.write_flags = check_write_flags(&s, cache);
	s.direct = s.direct || cache->direct;
	if (ret == 0)
		ret = rebuild_header(&s, &o, &cmd_listener, &r, &e);
	signals_watch_end(ret == 0);
	if (ret == 0) {
		rebuild_print(name, &r);
		advise(&r);
	} else {
		cmd_error_of(&e);
	}
	int status = ret < 0 ? STATUS_FAILED : check_status_of(&r.check);

	rebuild_fini(&r);
	spec_fini(&s);
	return status;
}
