"""Damages by name: what is changed in a sound image, and what has to come of it.

A damage changes bytes of the file F; IMG tells where things are in the image before any damage,
so that several can be done to one file. It returns nothing, or the guest clusters that it hit,
as (view, number): what they hold afterwards is free, within the bounds of the judge. It may
refuse a layout that it can't be done to.

    kinds   one of these words is in the list of findings
    exit    of a check that only reads: 2 unless said
    end     exit status after -r all: 0, or what stays and why (LEFT)
    gone    names of snapshots and bitmaps that nobody can keep
    marked  bitmaps that are inconsistent from then on
    changes what the disk reads is, or may be, other than before the repair: so are those that record
    needs_counts    what is hit as well if something else made the counts useless
    also    another word of LEFT that may hold if more than this is wrong
"""
import random

from image import (ACTIVE, COMPRESSED, COPIED, EXT_BITMAPS, EXT_CRYPTO, OFFSET)
from layouts import EMPTY, NEWEST, PACKED, SHARED, ZEROES, text

FAR = 1 << 40
DAMAGES = {}

# What -r all does not mend, and why.
LEFT = {
    "suspects": (3, "leaked clusters may be the data that was hit, and are left for a person"),
    "marked": (3, "what a wrong pointer may have led to is leaked, and left for a person"),
    "l1": (2, "nothing says where the L1 table is"),
    "snapshots": (2, "snapshots that can't be read are kept, with their clusters"),
    "unread": (1, "snapshots that can't be listed are kept, with their clusters"),
    "room": (1, "an entry that leads right behind the file can't go while something lies across its "
                "table, and that would need the file to grow"),
    "key": (2, "a copy of an encrypted cluster at another place would need the key"),
    "crypto": (2, "nothing says where the key slots are"),
}


class Unfit(Exception):
    """This layout has no such thing."""


class Damage:
    def __init__(self, run, kinds, **more):
        self.name = run.__name__.replace("_", "-")
        self.run = run
        self.kinds = kinds.split()
        self.exit = more.get("exit", (2,))
        self.left = more.get("left")
        self.also = more.get("also")
        self.needs_counts = more.get("needs_counts")
        self.left_if_encrypted = more.get("left_if_encrypted")
        self.left_if_narrow = more.get("left_if_narrow")
        self.gone = more.get("gone", ())
        self.marked = more.get("marked", ())
        self.changes = more.get("changes", False)
        self.deep = more.get("deep", False)


    def left_in(self, img):
        """The word for what a repair leaves of it, or None."""
        if EXT_CRYPTO in img.extensions and self.left_if_encrypted:
            return self.left_if_encrypted
        if img.count_bits == 1 and self.left_if_narrow:
            return self.left_if_narrow
        return self.left

    def changes_in(self, img):
        """Whether the disk reads, or may read, other than before the repair."""
        return self.changes(img) if callable(self.changes) else self.changes

    def end(self, img):
        left = self.left_in(img)
        return LEFT[left][0] if left else 0


def damage(kinds, **more):
    def register(run):
        d = Damage(run, kinds, **more)
        DAMAGES[d.name] = d
        return run
    return register


def need(condition):
    if not condition:
        raise Unfit


def need_counts(img, most=1):
    """Counts of guest data, that go up to MOST."""
    need(not img.data_file and (1 << img.count_bits) - 1 >= most)


def need_snapshots(img):
    need(img.snapshots)


def need_bitmaps(img):
    need(img.bitmaps)


def need_packed(img):
    need(img.entry(ACTIVE, PACKED) & COMPRESSED)


def need_places(img):
    """There are offsets in a cluster that are not its first."""
    need(img.cluster > 512 and not img.data_file)


def plainly(img):
    """Of what is encrypted nothing gets a copy."""
    return EXT_CRYPTO not in img.extensions


def shares(img):
    """Entries of a table without COPIED flags pass for pointers to refcount blocks, on data."""
    return img.snapshots


def whole_table(img, view=ACTIVE, idx=0):
    return [(view, nr) for nr in img.table_range(idx)]


def set_offset(f, at, offset):
    f.set_num(at, 8, f.num(at, 8) & ~OFFSET | offset)


def noise(size):
    return random.Random(size).randbytes(size)


# --- counts ---

@damage("leaked-cluster", exit=(3,))
def count_raised(f, img):
    need_counts(img, 4)
    need_snapshots(img)
    img.set_count(f, img.host(ACTIVE, SHARED), 4)


@damage("leaked-cluster copied-data")
def count_raised_of_one(f, img):
    need_counts(img, 2)
    img.set_count(f, img.host(ACTIVE, NEWEST), 2)


@damage("leaked-cluster copied-data")
def count_greatest(f, img):
    need_counts(img, 2)
    img.set_count(f, img.host(ACTIVE, NEWEST), (1 << img.count_bits) - 1)


@damage("leaked-cluster", exit=(3,))
def count_of_nothing(f, img):
    at = (img.file_size - 1) // img.cluster * img.cluster
    while at and img.count(at):
        at -= img.cluster
    need(at)
    img.set_count(f, at, 1)


@damage("refcount-too-low")
def count_lowered(f, img):
    need_counts(img, 3)
    need_snapshots(img)
    img.set_count(f, img.host(ACTIVE, SHARED), 1)


@damage("refcount-zero")
def count_zero_of_data(f, img):
    need_counts(img)
    img.set_count(f, img.host(ACTIVE, NEWEST), 0)


@damage("refcount-zero")
def count_zero_of_packed(f, img):
    need_packed(img)
    img.set_count(f, img.packed_at(ACTIVE, PACKED), 0)


@damage("refcount-zero")
def count_zero_of_header(f, img):
    img.set_count(f, 0, 0)


@damage("refcount-zero")
def count_zero_of_l1(f, img):
    img.set_count(f, img.l1_at, 0)


@damage("refcount-zero")
def count_zero_of_l2(f, img):
    img.set_count(f, img.l2_at(ACTIVE), 0)


@damage("refcount-zero")
def count_zero_of_table(f, img):
    img.set_count(f, img.table_at, 0)


@damage("refcount-zero")
def count_zero_of_block(f, img):
    img.set_count(f, img.block_at(), 0)


@damage("refcount-zero")
def count_zero_of_snapshots(f, img):
    need_snapshots(img)
    img.set_count(f, img.snapshots_at, 0)
    img.set_count(f, img.snapshots[0].l1_at, 0)


@damage("refcount-zero")
def count_zero_of_bitmap(f, img):
    need_bitmaps(img)
    img.set_count(f, img.bitmaps[0].table_at, 0)


@damage("refcount-zero refcount-too-low")
def counts_zeroed(f, img):
    f.put(img.block_at(), bytes(img.cluster))


# A bit is no less likely than another: nothing tells that counts of one bit are noise.
@damage("refcount-zero refcount-too-low leaked-cluster", left_if_narrow="marked")
def counts_noise(f, img):
    f.put(img.block_at(), noise(img.cluster))


@damage("refcount-zero refcount-too-low leaked-cluster")
def counts_text(f, img):
    f.put(img.block_at(), text("what was written astray", img.cluster))


# --- the refcount table ---

@damage("refcount-zero")
def refcount_table_zeroed(f, img):
    f.put(img.table_at, bytes(img.cluster))


@damage("refcount-table-empty")
def refcount_table_empty(f, img):
    f.set_num(56, 4, 0)


@damage("refcount-table-out-of-file")
def refcount_table_out_of_file(f, img):
    f.set_num(48, 8, FAR)


@damage("refcount-entry-reserved")
def refcount_entry_reserved(f, img):
    f.set_bits(img.table_at, 8, 1)


@damage("refcount-block-unaligned")
def refcount_block_unaligned(f, img):
    need(img.cluster > 512)
    f.set_bits(img.table_at, 8, 512)


@damage("refcount-block-out-of-file")
def refcount_block_out_of_file(f, img):
    f.set_num(img.table_at, 8, FAR)


@damage("refcount-block-out-of-file")
def refcount_block_very_far(f, img):
    f.set_num(img.table_at + img.cluster - 8, 8, 1 << 62)


@damage("metadata-overlap")
def refcount_block_twice(f, img):
    f.set_num(img.table_at + img.cluster - 8, 8, img.block_at())


@damage("metadata-overlap")
def refcount_block_on_l1(f, img):
    f.set_num(img.table_at, 8, img.l1_at)


@damage("cross-link", left="marked", changes=True)
def refcount_block_on_data(f, img):
    need_counts(img)
    f.set_num(img.table_at, 8, img.host(ACTIVE, NEWEST))


@damage("metadata-overlap", left="marked", changes=shares)
def refcount_table_on_l2(f, img):
    f.set_num(48, 8, img.l2_at(ACTIVE))


# --- COPIED ---

@damage("copied-l2-table")
def copied_l2_cleared(f, img):
    f.clear_bits(img.l1_entry_at(ACTIVE), 8, COPIED)


@damage("copied-data")
def copied_data_cleared(f, img):
    f.clear_bits(img.entry_at(ACTIVE, NEWEST), 8, COPIED)


@damage("copied-data")
def copied_data_false(f, img):
    need_snapshots(img)
    f.set_bits(img.entry_at(ACTIVE, SHARED), 8, COPIED)


@damage("copied-compressed")
def copied_packed(f, img):
    need_packed(img)
    f.set_bits(img.entry_at(ACTIVE, PACKED), 8, COPIED)


@damage("copied-unallocated")
def copied_unallocated(f, img):
    need(not img.data_file)
    f.set_bits(img.entry_at(ACTIVE, EMPTY), 8, COPIED)


@damage("copied-no-l2-table")
def copied_no_l2_table(f, img):
    need(img.empty_slot() is not None)
    f.set_bits(img.l1_entry_at(ACTIVE, img.empty_slot()), 8, COPIED)


# --- L1 ---

@damage("l1-entry-reserved")
def l1_entry_reserved(f, img):
    f.set_bits(img.l1_entry_at(ACTIVE), 8, 0x7F00000000000001)


@damage("l1-entry-unaligned", needs_counts=lambda img: whole_table(img), changes=True)
def l1_entry_unaligned(f, img):
    need(img.cluster > 512)
    f.set_bits(img.l1_entry_at(ACTIVE), 8, 512)


@damage("l1-entry-out-of-file", left="suspects", changes=True)
def l1_entry_out_of_file(f, img):
    set_offset(f, img.l1_entry_at(ACTIVE), FAR)
    return whole_table(img)


@damage("leaked-cluster", exit=(3,), left="suspects")
def l1_entry_zeroed(f, img):
    f.set_num(img.l1_entry_at(ACTIVE), 8, 0)
    return whole_table(img)


@damage("l1-table-out-of-file", left="l1")
def l1_table_out_of_file(f, img):
    f.set_num(40, 8, FAR)
    return [hit for i in range(img.l1_nr) for hit in whole_table(img, ACTIVE, i)]


@damage("l1-entry-reserved")
def snapshot_l1_entry_reserved(f, img):
    need_snapshots(img)
    f.set_bits(img.l1_entry_at("monday"), 8, 1)


@damage("l1-entry-unaligned", needs_counts=lambda img: whole_table(img, "monday"))
def snapshot_l1_entry_unaligned(f, img):
    need_snapshots(img)
    need_places(img)
    f.set_bits(img.l1_entry_at("monday"), 8, 512)


# The second L2 table, which the disk and its snapshots share.
@damage("l1-entry-unaligned", needs_counts=lambda img: whole_table(img, ACTIVE, 1), changes=True)
def l1_entry_unaligned_shared(f, img):
    need_snapshots(img)
    need_places(img)
    need(img.table_range(1) and img.l2_at(ACTIVE, 1))
    f.set_bits(img.l1_entry_at(ACTIVE, 1), 8, 512)


@damage("l1-entry-out-of-file", left="suspects")
def snapshot_l1_entry_out_of_file(f, img):
    need_snapshots(img)
    set_offset(f, img.l1_entry_at("monday"), FAR)
    return whole_table(img, "monday")


# --- L2 tables ---

@damage("l2-table-foreign", left="suspects", changes=True)
def l2_table_text(f, img):
    need(not img.data_file)
    f.put(img.l2_at(ACTIVE), text("what was written astray", img.cluster))
    return whole_table(img)


@damage("l2-table-foreign", left="suspects", changes=True)
def l2_table_noise(f, img):
    need(not img.data_file)
    f.put(img.l2_at(ACTIVE), noise(img.cluster))
    return whole_table(img)


@damage("leaked-cluster", exit=(3,), left="suspects")
def l2_table_zeroed(f, img):
    need(not img.data_file)
    f.put(img.l2_at(ACTIVE), bytes(img.cluster))
    return whole_table(img)


@damage("l2-table-foreign", left="suspects")
def snapshot_l2_table_text(f, img):
    need_snapshots(img)
    f.put(img.l2_at("monday"), text("what was written astray", img.cluster))
    return whole_table(img, "monday")


@damage("l2-table-twice", changes=True)
def l2_table_twice(f, img):
    need(img.empty_slot() is not None)
    f.put(img.l1_entry_at(ACTIVE, img.empty_slot()), img.f.get(img.l1_entry_at(ACTIVE), 8))
    return whole_table(img, ACTIVE, img.empty_slot())


# --- L2 entries ---

@damage("leaked-cluster", exit=(3,))
def l2_entry_zeroed(f, img):
    need_counts(img)
    f.put(img.entry_at(ACTIVE, NEWEST), bytes(img.entry_len))
    return [(ACTIVE, NEWEST)]


@damage("l2-entry-reserved")
def l2_entry_reserved(f, img):
    f.set_bits(img.entry_at(ACTIVE, NEWEST), 8, 0x3F000000000001FE)


@damage("l2-entry-reserved")
def l2_entry_reserved_extended(f, img):
    need(img.extended)
    f.set_bits(img.entry_at(ACTIVE, NEWEST), 8, 1)


@damage("l2-entry-reserved")
def snapshot_l2_entry_reserved(f, img):
    need_snapshots(img)
    f.set_bits(img.entry_at("monday", SHARED), 8, 1 << 57)


@damage("l2-entry-zero-v2")
def l2_entry_zero_v2(f, img):
    need(img.version == 2)
    f.set_bits(img.entry_at(ACTIVE, NEWEST), 8, 1)


@damage("l2-entry-unaligned", needs_counts=lambda img: [(ACTIVE, NEWEST)], changes=True)
def l2_entry_unaligned(f, img):
    need_places(img)
    f.set_bits(img.entry_at(ACTIVE, NEWEST), 8, 512)


@damage("l2-entry-unaligned", needs_counts=lambda img: [("monday", SHARED)])
def snapshot_l2_entry_unaligned(f, img):
    need_snapshots(img)
    need_places(img)
    f.set_bits(img.entry_at("monday", SHARED), 8, 512)


@damage("l2-entry-unaligned-zero", left="marked", changes=True)
def l2_entry_unaligned_zero(f, img):
    need_places(img)
    need(img.version == 3 and not img.extended)
    f.set_bits(img.entry_at(ACTIVE, NEWEST), 8, 513)
    return [(ACTIVE, NEWEST)]


@damage("l2-entry-out-of-file", left="marked", changes=True)
def l2_entry_out_of_file(f, img):
    need(not img.data_file)
    set_offset(f, img.entry_at(ACTIVE, NEWEST), FAR)
    return [(ACTIVE, NEWEST)]


@damage("l2-entry-out-of-file")
def snapshot_l2_entry_out_of_file(f, img):
    need_snapshots(img)
    set_offset(f, img.entry_at("sunday", SHARED), FAR)
    return [("sunday", SHARED)]


# Two uses of one cluster.

@damage("cross-link", left="marked", left_if_encrypted="key", changes=plainly)
def l2_entry_on_l1(f, img):
    need_counts(img)
    set_offset(f, img.entry_at(ACTIVE, NEWEST), img.l1_at)
    return [(ACTIVE, NEWEST)]


@damage("cross-link", left="marked", left_if_encrypted="key", changes=plainly)
def l2_entry_on_l2(f, img):
    need_counts(img)
    set_offset(f, img.entry_at(ACTIVE, NEWEST), img.l2_at(ACTIVE))
    return [(ACTIVE, NEWEST)]


@damage("cross-link", left="marked", changes=True)
def l2_entry_on_refcount_block(f, img):
    need_counts(img)
    set_offset(f, img.entry_at(ACTIVE, NEWEST), img.block_at())
    return [(ACTIVE, NEWEST)]


@damage("cross-link", left="marked", changes=True)
def l2_entry_on_refcount_table(f, img):
    need_counts(img)
    set_offset(f, img.entry_at(ACTIVE, NEWEST), img.table_at)
    return [(ACTIVE, NEWEST)]


@damage("cross-link", left="marked", left_if_encrypted="key", changes=plainly)
def l2_entry_on_snapshots(f, img):
    need_snapshots(img)
    set_offset(f, img.entry_at(ACTIVE, NEWEST), img.snapshots_at)
    return [(ACTIVE, NEWEST)]


@damage("cross-link", left="marked", gone=["changes"], changes=True)
def l2_entry_on_bitmap(f, img):
    need_bitmaps(img)
    need_counts(img)
    set_offset(f, img.entry_at(ACTIVE, NEWEST), img.bitmaps[0].table_at)
    return [(ACTIVE, NEWEST)]


@damage("refcount-too-low refcount-overflow copied-data", changes=plainly)
def l2_entry_on_data(f, img):
    need_counts(img)
    f.put(img.entry_at(ACTIVE, EMPTY), img.f.get(img.entry_at(ACTIVE, NEWEST), img.entry_len))
    return [(ACTIVE, EMPTY)]


@damage("refcount-too-low refcount-overflow copied-data", changes=plainly)
def l2_entry_on_shared_data(f, img):
    need_counts(img, 3)
    need_snapshots(img)
    f.put(img.entry_at(ACTIVE, EMPTY), img.f.get(img.entry_at(ACTIVE, SHARED), img.entry_len))
    return [(ACTIVE, EMPTY)]


# The cluster that belongs to the newest data is leaked then.
@damage("refcount-too-low refcount-overflow copied-data", left="marked", changes=plainly)
def l2_entry_swapped_away(f, img):
    need_counts(img)
    set_offset(f, img.entry_at(ACTIVE, NEWEST), img.host(ACTIVE, NEWEST + 1))
    return [(ACTIVE, NEWEST)]


@damage("refcount-too-low refcount-overflow copied-data", changes=plainly)
def snapshot_l2_entry_on_data(f, img):
    need_snapshots(img)
    set_offset(f, img.entry_at("monday", SHARED), img.host(ACTIVE, NEWEST))
    return [("monday", SHARED)]


# --- compressed clusters ---

# Where counts have one bit no two of them share a cluster: it is leaked when one leads elsewhere.

@damage("compressed-out-of-file", changes=True, left_if_narrow="marked")
def packed_out_of_file(f, img):
    need_packed(img)
    f.set_bits(img.entry_at(ACTIVE, PACKED), 8, 1 << 38)
    return [(ACTIVE, PACKED)]


@damage("cross-link", changes=plainly, left_if_narrow="marked")
def packed_on_l2(f, img):
    need_packed(img)
    at = img.entry_at(ACTIVE, PACKED)
    f.set_num(at, 8, COMPRESSED | img.l2_at(ACTIVE))
    return [(ACTIVE, PACKED)]


@damage("compressed-bitmap")
def packed_bitmap(f, img):
    need_packed(img)
    need(img.extended)
    f.set_num(img.entry_at(ACTIVE, PACKED) + 8, 8, 1)


@damage("compressed-data", deep=True)
def packed_data(f, img):
    need_packed(img)
    at = img.packed_at(ACTIVE, PACKED)
    f.put(at, b"\xff" * 24)
    return img.users(at // img.cluster * img.cluster)


# --- subclusters ---

@damage("subcluster-both", changes=True)
def subcluster_both(f, img):
    need(img.extended)
    f.set_bits(img.entry_at(ACTIVE, NEWEST) + 8, 8, 5 << 32)


@damage("subcluster-no-cluster", changes=True)
def subcluster_no_cluster(f, img):
    need(img.extended)
    f.set_num(img.entry_at(ACTIVE, EMPTY) + 8, 8, 0x11)


# --- an external data file ---

@damage("data-file-offset", changes=True)
def data_file_offset(f, img):
    need(img.data_file)
    set_offset(f, img.entry_at(ACTIVE, NEWEST), EMPTY * img.cluster)


@damage("l2-table-foreign", left="suspects", changes=True)
def data_file_l2_text(f, img):
    need(img.data_file and not img.raw_data_file)
    f.put(img.l2_at(ACTIVE), text("what was written astray", img.cluster))
    return whole_table(img)


# Nothing is lost: each cluster has its place in the data file.
@damage("l2-table-foreign", changes=True)
def raw_data_file_l2_text(f, img):
    need(img.raw_data_file)
    f.put(img.l2_at(ACTIVE), text("what was written astray", img.cluster))


@damage("compressed-data-file", changes=True)
def data_file_packed(f, img):
    need(img.data_file)
    f.set_num(img.entry_at(ACTIVE, EMPTY), 8, COMPRESSED | EMPTY * img.cluster)
    return [(ACTIVE, EMPTY)]


# --- snapshots ---

@damage("snapshot-count", exit=(1,))
def snapshot_count(f, img):
    need_snapshots(img)
    f.set_num(60, 4, 65537)


@damage("snapshot-uncounted", exit=(3,), left="suspects", gone=["sunday"])
def snapshot_count_less(f, img):
    need_snapshots(img)
    f.set_num(60, 4, 1)


@damage("snapshot-table-unaligned", exit=(1,), left="unread", gone=["monday", "sunday"])
def snapshot_table_unaligned(f, img):
    need_snapshots(img)
    need(img.cluster > 512)
    f.set_bits(64, 8, 512)
    return [hit for view in img.views()[1:] for hit in whole_table(img, view)]


@damage("snapshot-table-out-of-file", left="snapshots", gone=["monday", "sunday"])
def snapshot_table_out_of_file(f, img):
    need_snapshots(img)
    f.set_num(64, 8, FAR)


@damage("snapshot-extra-large", exit=(1,))
def snapshot_extra_large(f, img):
    need_snapshots(img)
    f.set_num(img.snapshots[1].at + 36, 4, 1025)


@damage("snapshot-extra-short", exit=(1, 2))
def snapshot_extra_short(f, img):
    need_snapshots(img)
    need(img.version == 3)
    f.set_num(img.snapshots[0].at + 36, 4, 8)


@damage("snapshot-extra-short")
def snapshot_extra_short_last(f, img):
    need_snapshots(img)
    need(img.version == 3)
    f.set_num(img.snapshots[1].at + 36, 4, 8)


@damage("snapshot-name snapshot-extra-short snapshot-table-out-of-file leaked-cluster", exit=(1, 2))
def snapshot_name_long(f, img):
    need_snapshots(img)
    need(img.version == 3)
    f.set_num(img.snapshots[0].at + 14, 2, 60000)


# Version 2 asks so little of an entry that what follows the name, zeros, passes for one. Small
# clusters have no room for it.
@damage("snapshot-name leaked-cluster")
def snapshot_name_long_v2(f, img):
    need_snapshots(img)
    need(img.version == 2 and img.cluster > 60000)
    f.set_num(img.snapshots[0].at + 14, 2, 60000)


@damage("snapshot-name snapshot-extra-short snapshot-l1-unaligned snapshot-extra-large "
        "snapshot-table-out-of-file", exit=(1, 2))
def snapshot_id_long(f, img):
    need_snapshots(img)
    need(img.version == 3)
    f.set_num(img.snapshots[0].at + 12, 2, 65)


@damage("snapshot-l1-unaligned", left="snapshots", gone=["monday"])
def snapshot_l1_unaligned(f, img):
    need_snapshots(img)
    need_places(img)
    f.set_bits(img.snapshot("monday").at, 8, 512)


# The disk gets a copy: what the snapshot had is lost, and nobody can know.
@damage("snapshot-l1-overlap", left="suspects", changes=True)
def snapshot_l1_on_l1(f, img):
    need_snapshots(img)
    f.set_num(img.snapshot("monday").at, 8, img.l1_at)
    return [hit for i in range(img.l1_nr) for hit in whole_table(img, "monday", i)]


@damage("snapshot-l1-overlap", left="snapshots", gone=["sunday"])
def snapshot_l1_on_snapshot_l1(f, img):
    need_snapshots(img)
    f.set_num(img.snapshot("monday").at, 8, img.snapshot("sunday").l1_at)
    return [hit for i in range(img.l1_nr) for hit in whole_table(img, "monday", i)]


@damage("snapshot-l1-overlap", left="snapshots", gone=["monday"])
def snapshot_l1_on_refcount_table(f, img):
    need_snapshots(img)
    f.set_num(img.snapshot("monday").at, 8, img.table_at)


@damage("snapshot-l1-overlap", left="suspects", changes=True)
def l1_on_snapshot_l1(f, img):
    need_snapshots(img)
    f.set_num(40, 8, img.snapshot("sunday").l1_at)
    return [hit for i in range(img.l1_nr) for hit in whole_table(img, ACTIVE, i)]


@damage("metadata-overlap", left="suspects", changes=True)
def l1_entry_on_l1(f, img):
    set_offset(f, img.l1_entry_at(ACTIVE), img.l1_at)
    return whole_table(img)


@damage("metadata-overlap l1-table-out-of-file")
def l1_size_large(f, img):
    f.set_num(36, 4, img.l1_nr + img.cluster)


@damage("snapshot-l1-size", left="snapshots", gone=["monday"])
def snapshot_l1_size(f, img):
    need_snapshots(img)
    f.set_num(img.snapshot("monday").at + 8, 4, (4 << 20) + 1)
    f.set_num(img.snapshot("monday").at + 48, 8, 0)  # nobody knows what it needs


@damage("snapshot-l1-long")
def snapshot_l1_much_too_long(f, img):
    need_snapshots(img)
    f.set_bits(img.snapshot("monday").at + 8, 4, 1 << 31)


# What it claims is in the file.
@damage("snapshot-l1-long")
def snapshot_l1_long(f, img):
    need_snapshots(img)
    nr = img.snapshot("monday").l1_nr
    bit = next(1 << i for i in range(32) if nr < 1 << i and (nr | 1 << i) * 8 > img.cluster)
    f.set_bits(img.snapshot("monday").at + 8, 4, bit)


@damage("snapshot-l1-out-of-file", left="snapshots", gone=["monday"])
def snapshot_l1_out_of_file(f, img):
    need_snapshots(img)
    f.set_num(img.snapshot("monday").at, 8, FAR)


# --- bitmaps ---

@damage("leaked-cluster", exit=(3,), gone=["changes", "faraway"])
def bitmaps_void(f, img):
    need_bitmaps(img)
    f.clear_bits(88, 8, 1)


@damage("bitmaps-missing")
def bitmaps_missing(f, img):
    need(img.version == 3 and not img.bitmaps)
    f.set_bits(88, 8, 1)


@damage("bitmap-directory-out-of-file", left="marked", gone=["changes", "faraway"])
def bitmap_directory_out_of_file(f, img):
    need_bitmaps(img)
    f.set_num(img.extensions[EXT_BITMAPS] + 16, 8, FAR)


@damage("bitmap-entry", left="marked", gone=["changes", "faraway"])
def bitmap_directory_zeroed(f, img):
    need_bitmaps(img)
    f.put(img.bitmaps[0].at, bytes(sum((b.len + 7) // 8 * 8 for b in img.bitmaps)))


@damage("bitmap-entry", left="marked", gone=["changes"])
def bitmap_entry_type(f, img):
    need_bitmaps(img)
    f.set_num(img.bitmaps[0].at + 16, 1, 7)


@damage("bitmap-entry", left="marked", gone=["faraway"])
def bitmap_entry_name_len(f, img):
    need_bitmaps(img)
    f.set_num(img.bitmaps[1].at + 18, 2, 0)


@damage("bitmap-flags", marked=["changes"])
def bitmap_flags(f, img):
    need_bitmaps(img)
    f.set_bits(img.bitmaps[0].at + 12, 4, 0x80000000)


@damage("bitmap-name", gone=["faraway"])
def bitmap_name(f, img):
    need_bitmaps(img)
    f.put(img.bitmaps[1].at + 24, b"changes")


@damage("bitmap-table-unaligned", left="marked", gone=["changes"])
def bitmap_table_unaligned(f, img):
    need_bitmaps(img)
    need(img.cluster > 512)
    f.set_bits(img.bitmaps[0].at, 8, 512)


@damage("bitmap-table-out-of-file", left="marked", gone=["changes"])
def bitmap_table_out_of_file(f, img):
    need_bitmaps(img)
    f.set_num(img.bitmaps[0].at, 8, FAR)


@damage("bitmap-table-size", left="marked", gone=["changes"])
def bitmap_table_size(f, img):
    need_bitmaps(img)
    f.set_num(img.bitmaps[0].at + 8, 4, (512 << 20) // img.cluster + 1)


@damage("bitmap-entry-reserved")
def bitmap_entry_reserved(f, img):
    need_bitmaps(img)
    f.set_bits(img.bitmaps[0].table_at, 8, 2)


@damage("bitmap-data-unaligned")
def bitmap_data_unaligned(f, img):
    need_bitmaps(img)
    need(img.cluster > 512)
    f.set_bits(img.bitmaps[0].table_at, 8, 512)


@damage("bitmap-data-out-of-file")
def bitmap_data_out_of_file(f, img):
    need_bitmaps(img)
    f.set_num(img.bitmaps[0].table_at, 8, FAR)


@damage("metadata-overlap", left="marked", gone=["changes"])
def bitmap_table_on_l1(f, img):
    need_bitmaps(img)
    f.set_num(img.bitmaps[0].at, 8, img.l1_at)


@damage("metadata-overlap refcount-too-low", left="marked", gone=["changes", "faraway"])
def bitmap_tables_same(f, img):
    need_bitmaps(img)
    f.set_num(img.bitmaps[1].at, 8, img.bitmaps[0].table_at)


# --- the header, and the file ---

@damage("crypto-header-damaged", left="crypto")
def crypto_header_noise(f, img):
    need(EXT_CRYPTO in img.extensions)
    f.put(img.f.num(img.extensions[EXT_CRYPTO], 8), noise(592))
    return [(view, nr) for view in img.views() for nr in range(-(-img.size // img.cluster))]


@damage("crypto-header-out-of-file", left="crypto")
def crypto_header_out_of_file(f, img):
    need(EXT_CRYPTO in img.extensions)
    f.set_num(img.extensions[EXT_CRYPTO], 8, FAR)
    return [(view, nr) for view in img.views() for nr in range(-(-img.size // img.cluster))]


@damage("header-padding", exit=(0,))
def header_padding(f, img):
    need(img.version == 3)
    f.set_num(106, 1, 1)


@damage("autoclear-unknown", exit=(0,))
def autoclear_unknown(f, img):
    need(img.version == 3)
    f.set_bits(88, 8, 0x20)


@damage("leaked-cluster", exit=(3,))
def dirty_and_leaked(f, img):
    need(img.version == 3)
    f.set_bits(72, 8, 1)
    at = (img.file_size - 1) // img.cluster * img.cluster
    while at and img.count(at):
        at -= img.cluster
    need(at)
    img.set_count(f, at, 1)


@damage("refcount-zero")
def corrupt_and_counts_zeroed(f, img):
    need(img.version == 3)
    f.set_bits(72, 8, 2)
    f.put(img.block_at(), bytes(img.cluster))


@damage("l2-entry-out-of-file file-too-short compressed-out-of-file", also="room", changes=True)
def file_cut(f, img):
    """The last cluster of the file is gone, if it holds guest data."""
    need(not img.data_file)
    at = (img.file_size - 1) // img.cluster * img.cluster
    while at and not img.count(at):
        at -= img.cluster
    hit = img.users(at)
    need(hit)
    f.cut(at)
    return hit
