#pragma once
#include "base/align.h"
#include "format/l1_entry.h"
#include "format/refcount_table.h"
#include "format/snapshot_entry.h"
#include "io/file.h"
#include "ops/rebuild_header.h"

/* --- rebuild_scan.c: what sectors look like --- */

/* Adjacent sectors that may belong to a table of pointers. */
struct rebuild_run {
	uint64_t off, end;
};

/* A sector that may begin a refcount table, and where its first entry leads. */
struct rebuild_pointer {
	uint64_t off, first;
};

/* Bounded lists: what does not fit is dropped. */
struct rebuild_scan {
	struct file *file;
	uint64_t size; /* bytes, up to a multiple of a sector */
	uint64_t done; /* all before it was looked at */
	uint64_t filled; /* bytes of sectors before it that are not zeros */
	const struct watch *watch;
	struct rebuild_run *runs;
	size_t run_nr, run_room;
	struct rebuild_pointer *refcounts;
	size_t refcount_nr, refcount_room;
	uint64_t *snapshots; /* where a snapshot table may begin */
	size_t snapshot_nr, snapshot_room;
	uint64_t *luks; /* where a LUKS header may begin */
	size_t luks_nr, luks_room;
};

/* Goes on up to `end`, in order, past holes. */
int rebuild_scan(struct rebuild_scan *s, uint64_t end, struct err *e) MUST_CHECK;
void rebuild_scan_fini(struct rebuild_scan *s);

/* --- rebuild_layout.c: cluster size and refcounts --- */

struct rebuild_layout {
	struct geom geom;
	uint64_t table_off;
	uint32_t table_clusters; /* 0: no refcounts are known */
	uint64_t gap; /* clusters between the end of the counts and that of the file */
	uint8_t *table; /* table_clusters, as stored */
	uint8_t *block; /* the one that was read last */
	uint64_t block_off;
};

/* Layouts that the file may have, the best first; at most LAYOUTS_MAX. */
#define LAYOUTS_MAX 24
int rebuild_layouts(struct rebuild_scan *s, struct rebuild_layout *list, size_t *nr,
		    struct err *e) MUST_CHECK;
/* Those without refcounts: all cluster sizes whose refcount table, of 16-bit counts, could count the
 * file. */
void rebuild_layouts_guess(const struct rebuild_scan *s, struct rebuild_layout *list, size_t *nr);
/* Reads what rebuild_count() needs. */
int rebuild_layout_load(struct rebuild_scan *s, struct rebuild_layout *l, struct err *e) MUST_CHECK;
void rebuild_layout_fini(struct rebuild_layout *l);
/* The count of the cluster at this place; COUNT_UNKNOWN without refcounts. */
#define COUNT_UNKNOWN UINT64_MAX
uint64_t rebuild_count(struct rebuild_scan *s, struct rebuild_layout *l, uint64_t host);

/* --- rebuild_tables.c, rebuild_snapshots.c: L1 tables and snapshots --- */

struct rebuild_l1 {
	uint64_t off;
	uint32_t nr;	     /* entries up to the last that is used */
	uint32_t room;	     /* entries that it may have */
	uint32_t used;	     /* entries that lead to a table */
	uint64_t mapped_end; /* guest */
	bool is_snapshot;    /* the disk is to get a copy of it */
	bool is_new;	     /* to be made, without entries */
};

struct rebuild_snapshots {
	uint64_t off;
	uint32_t nr;
	bool short_extra;    /* as only version 2 has it */
	uint64_t *l1_offs;
	uint32_t last_l1_nr;
	uint64_t disk_size;  /* of the last one that says it; 0: none does */
};

#define L1_MAX 3
/* The snapshot table, if there is one: nr 0 if not. */
int rebuild_snapshots(struct rebuild_scan *s, struct rebuild_layout *l, struct rebuild_snapshots *t,
		      struct err *e) MUST_CHECK;
/* L1 tables of the disk, the best first; an empty one where there is no other. Then those of
 * snapshots. */
int rebuild_l1_tables(struct rebuild_scan *s, struct rebuild_layout *l,
		      const struct rebuild_snapshots *t, struct rebuild_l1 list[L1_MAX], size_t *nr,
		      struct err *e) MUST_CHECK;
/* One without entries, behind all else: the tables that the lost one led to may be there, and can be put
 * back. False: no counts tell that this is an image with such clusters. */
bool rebuild_l1_new(const struct rebuild_scan *s, const struct rebuild_layout *l,
		    struct rebuild_l1 *x);

/* --- rebuild_probe.c: one L1 table --- */

#define L2_LOOKED_AT   256 /* tables that an L1 table leads to, in full */
/* Bytes that are read in one layout to find L1 tables; less where no refcounts say what cannot be one.
 * Without a bound, each table over empty clusters is tried in each layout. */
#define PROBE_BYTES	    (UINT64_C(1) << 30)
#define PROBE_BYTES_BLIND   (UINT64_C(256) << 20)

/* A look for L1 tables in one layout. */
struct rebuild_probe {
	struct rebuild_scan *scan;
	struct rebuild_layout *layout;
	const struct rebuild_snapshots *snapshots;
	uint8_t *l1, *l2; /* a cluster each */
	uint64_t stop_at; /* something else begins here */
	uint32_t tested, foreign, tested_used;
	uint64_t budget; /* bytes that may still be read */
};

/* Whether a table can be at this place. */
static inline bool rebuild_in_file(const struct rebuild_scan *s, const struct rebuild_layout *l,
				   uint64_t host)
{
	return host && !geom_in_cluster(&l->geom, host) && host < s->size;
}

bool rebuild_probe_is_free(struct rebuild_probe *p, uint64_t off);
/* Whether an L1 table begins there, and what there is of it. */
bool rebuild_probe_l1(struct rebuild_probe *p, uint64_t off, struct rebuild_l1 *x);
/* Up to where it maps the disk. */
void rebuild_mapped_end_find(struct rebuild_probe *p, struct rebuild_l1 *x);

/* --- rebuild_tables.c --- */
/* Whether compressed clusters of this tree are zstd's. */
bool rebuild_is_zstd(struct rebuild_scan *s, struct rebuild_layout *l, const struct rebuild_l1 *l1);

/* --- rebuild_crypt.c: encryption --- */

#define LUKS_MAX 4
/* Whether a sector begins like a LUKS header. */
bool rebuild_is_luks(const uint8_t *sector);
/* LUKS headers that may be the image's; others lie in the disk of a guest. At most LUKS_MAX. */
void rebuild_luks(struct rebuild_scan *s, struct rebuild_layout *l, struct crypto_ext *list,
		  size_t *nr);
/* Whether the header leaves out the end of its key material. */
bool rebuild_luks_is_cut(struct rebuild_scan *s, const struct header *h);
void rebuild_crypt_set(struct rebuild *r, const struct crypto_ext *x);
/* Sets the crypto header's extension right, where it is known by where it leads, or by its type.
 * False: there is none. `list` is what follows the fields of the old header, n bytes. */
bool rebuild_crypt_mend(struct rebuild_scan *s, const struct geom *g, uint8_t *list, size_t n);

/* --- rebuild_extensions.c --- */

/* Takes what is damaged out of a list of extensions, n bytes with all that follows it; false: nothing
 * is. */
bool rebuild_extensions_mend(uint8_t *list, size_t n);

/* --- rebuild_old.c: what is left of the old header --- */

/* Completes a proposal with what the old header says, as far as it fits: r->header and its sources
 * are given. False: it says nothing of use. `old` is the first cluster, and is changed. */
bool rebuild_merge_old(struct rebuild_scan *s, struct rebuild *r, const struct rebuild_l1 *l1,
		       uint8_t *old, size_t n);
/* Text in the first cluster that may be the name of a backing file. */
void rebuild_text_left(const uint8_t *old, size_t n, char *out, size_t out_size);

/* --- rebuild_propose.c --- */

/* False: it can't be. */
bool rebuild_propose(const struct rebuild_scan *s, struct rebuild *r, const struct rebuild_options *o,
		     const struct rebuild_layout *l, const struct rebuild_l1 *l1,
		     const struct rebuild_snapshots *t);
/* The size that was assumed, with room for so many L2 tables more that nothing leads to. False: it is
 * large enough. */
bool rebuild_size_raise(struct rebuild *r, uint64_t lost);

/* --- rebuild_apply.c --- */

/* The L1 table of the disk, if there is to be a new one. */
int rebuild_l1_write(struct file *from, struct file *to, const struct rebuild *r,
		     struct err *e) MUST_CHECK;
/* Writes it all; *f gets an undo file, if there is to be one. */
int rebuild_apply(struct file **f, const struct rebuild_options *o, struct rebuild *r,
		  struct err *e) MUST_CHECK;

/* --- rebuild_judge.c --- */

/* Whether a is the better proposal, by the check of the image with it. */
bool rebuild_is_better(const struct rebuild *a, const struct rebuild *b);
/* Guest bytes that are mapped, and the same less what is wrong about the tables. */
uint64_t rebuild_data_bytes(const struct rebuild *r);
uint64_t rebuild_gain(const struct rebuild *r);
uint64_t rebuild_errors(const struct rebuild *r);
/* Whether the disk maps nothing though clusters are counted, and nothing else is wrong but that its new
 * L1 table is not counted. */
bool rebuild_only_l1_is_lost(const struct rebuild *r);
enum rebuild_trust rebuild_trust_of(const struct rebuild *r);
