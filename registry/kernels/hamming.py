"""The loops of :mod:`registry.hamming`: distances, and the walk through multi-index tables.

A walk visits, for each piece of the hash, every bucket whose number lies within a few bits of the piece's
value. Each visit is a cache miss, and so is each hash in a bucket; so a block of visits goes through the
steps together, and each step asks for the memory that the next one reads.

A record that several pieces lead to is taken at the first of them only: with that, results need no sorting
out, and their number is exact.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.kernels.compiled import compiled, fetch, inlined, popcount

__all__ = ["chain", "fill_table", "hamming_distances", "nearest", "search_chains", "search_table"]

_Words = NDArray[np.uint64]
_Ids = NDArray[np.uint32]
_NONE = np.uint32(0xFFFFFFFF)
_UPPER = 8
"""Bits by which records are sorted first: as many streams as can be written side by side."""
_BLOCK = 64
"""Visits under way together: as many as the processor can wait for, and few enough for its nearest cache."""


@compiled
def hamming_distances(hashes: _Words, one: _Words) -> NDArray[np.uint16]:
    """Return the distance in bits of each of ``hashes: uint64[n, w]`` to ``one: uint64[w]``."""
    distances = np.empty(hashes.shape[0], np.uint16)
    for row in range(hashes.shape[0]):
        total = np.uint64(0)
        for word in range(hashes.shape[1]):
            total += popcount(hashes[row, word] ^ one[word])
        distances[row] = total
    return distances


@compiled
def nearest(hashes: _Words, columns: _Words) -> NDArray[np.uint16]:
    """Return how many bits lie between each of ``hashes: uint64[n, 4]`` and the nearest of the others.

    The others come as ``columns: uint64[4, m]``, so that several of them are looked at with one instruction.
    """
    found = np.empty(hashes.shape[0], np.uint16)
    for row in range(hashes.shape[0]):
        a, b, c, d = hashes[row, 0], hashes[row, 1], hashes[row, 2], hashes[row, 3]
        least = np.uint64(256)
        for other in range(columns.shape[1]):
            bits = popcount(a ^ columns[0, other]) + popcount(b ^ columns[1, other])
            bits += popcount(c ^ columns[2, other]) + popcount(d ^ columns[3, other])
            least = min(least, bits)
        found[row] = least
    return found


@compiled
def fill_table(
    words: _Words, pieces: NDArray[np.int64], starts: NDArray[np.uint32], ids: NDArray[np.uint32]
) -> None:
    """Sort the records of ``words: uint64[n, w]`` into buckets, one table a piece, by counting.

    Fills ``ids: uint32[m, n]`` with record numbers by bucket and ``starts`` (zeros before) with the place
    where each bucket begins; the bucket after the last one ends the table. In two steps, by the upper bits
    and then by the lower ones, so that each step writes to places that the cache holds.
    """
    count = words.shape[0]
    values, rows = np.empty(count, np.uint32), np.empty(count, np.uint32)
    for piece in range(pieces.shape[0]):
        first, width, base = pieces[piece, 0], pieces[piece, 1], pieces[piece, 2]
        lower = max(width - _UPPER, 0)
        parts = _count_parts(words, first, width, lower)
        _split_into_parts(words, first, width, lower, parts[:-1].copy(), values, rows)
        table = starts[base : base + (1 << width) + 1]
        for part in range(parts.shape[0] - 1):
            begin, end = parts[part], parts[part + 1]
            _fill_part(table, part << lower, lower, begin, values[begin:end], rows[begin:end], ids[piece])
        table[1 << width] = count


# Three functions rather than one: inlined into one loop, the compiler keeps far less in registers.
@compiled
def _count_parts(words: _Words, first: int, width: int, lower: int) -> NDArray[np.int64]:
    parts = np.zeros((1 << (width - lower)) + 1, np.int64)
    for row in range(words.shape[0]):
        parts[(_piece_of(words, row, first, width) >> lower) + 1] += 1
    for part in range(1, parts.shape[0]):
        parts[part] += parts[part - 1]
    return parts


@compiled
def _split_into_parts(
    words: _Words, first: int, width: int, lower: int, ends: NDArray[np.int64], values: _Ids, rows: _Ids
) -> None:
    for row in range(words.shape[0]):
        value = _piece_of(words, row, first, width)
        place = ends[value >> lower]
        values[place] = value
        rows[place] = row
        ends[value >> lower] = place + 1


@compiled
def _fill_part(
    table: NDArray[np.uint32], low: int, bits: int, begin: int, values: _Ids, rows: _Ids, ids: _Ids
) -> None:
    """Sort the rows whose values lie in ``low … low + 2^bits`` into ``ids`` from ``begin`` on."""
    places = np.zeros(1 << bits, np.int64)
    for k in range(values.shape[0]):
        places[values[k] - low] += 1
    total = begin
    for bucket in range(places.shape[0]):
        inside = places[bucket]
        table[low + bucket] = total
        places[bucket] = total
        total += inside
    for k in range(values.shape[0]):
        bucket = values[k] - low
        ids[places[bucket]] = rows[k]
        places[bucket] += 1


@compiled
def search_table(
    queries: _Words,
    begin: int,
    reach: tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]],
    words: _Words,
    table: tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32]],
    room: tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16], NDArray[np.bool_]],
) -> tuple[int, int]:
    """Walk the table for each query from ``begin`` on, until one might not find room for its results.

    ``reach``: radius, bits allowed a piece, visits a piece, masks by width. ``table``: pieces, starts, ids.
    ``room``: results a query at most, then query, record and distance of each result, and whether a query
    had more. Returns the first query not done, and how many results there are.
    """
    limit, out_query, out_record, out_distance, cut = room
    buffers = (np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.uint32))
    found = 0
    for number in range(begin, queries.shape[0]):
        if found + limit > out_record.shape[0]:
            return number, found
        count = 0
        for piece in range(table[0].shape[0]):
            if reach[1][piece] >= 0 and count <= limit:
                count = _walk(
                    queries[number],
                    piece,
                    reach,
                    words,
                    table,
                    buffers,
                    limit,
                    count,
                    out_record[found:],
                    out_distance[found:],
                )
        cut[number] = count > limit
        count = min(count, limit)
        out_query[found : found + count] = number
        found += count
    return queries.shape[0], found


@compiled
def _walk(
    query: _Words,
    piece: int,
    reach: Any,
    words: _Words,
    table: Any,
    buffers: Any,
    limit: int,
    count: int,
    out_record: Any,
    out_distance: Any,
) -> int:
    """Visit the buckets of one piece; return how many results there are, one above ``limit`` at most."""
    radius, allowed, visits, masks = reach
    pieces, starts, ids = table
    first, width, base = pieces[piece, 0], pieces[piece, 1], pieces[piece, 2]
    at, end, block = buffers
    size = words.shape[0]
    row_of_masks = masks[pieces[piece, 3]]
    own = ids[piece]
    value = _piece_of_one(query, first, width)
    for done in range(0, visits[piece], _BLOCK):
        upto = min(_BLOCK, visits[piece] - done)
        for k in range(upto):
            at[k] = base + (value ^ row_of_masks[done + k])
            fetch(starts, at[k])
        for k in range(upto):
            end[k] = min(np.int64(starts[at[k] + 1]), size)
            at[k] = min(np.int64(starts[at[k]]), size)
            if at[k] < end[k]:
                fetch(own, at[k])
        k = 0
        while k < upto:
            taken = 0
            while k < upto and taken < _BLOCK:
                if at[k] >= end[k]:
                    k += 1
                    continue
                record = own[at[k]]
                at[k] += 1
                if record < size:
                    block[taken] = record
                    fetch(words, np.int64(record) * words.shape[1])
                    taken += 1
            for t in range(taken):
                record = np.int64(block[t])
                distance = _distance(words, record, query)
                if distance <= radius and _is_first(words, record, query, piece, pieces, allowed):
                    if count == limit:
                        return limit + 1
                    out_record[count] = record
                    out_distance[count] = distance
                    count += 1
    return count


@compiled
def chain(
    words: _Words, begin: int, end: int, heads: NDArray[np.uint32], following: NDArray[np.uint32]
) -> None:
    """Hang the records ``begin`` to ``end`` into the chains: 16-bit pieces, ``heads: uint32[m, 65536]``.

    ``following: uint32[n, m]`` names the record after each in the chain of each piece.
    """
    for row in range(begin, end):
        for piece in range(heads.shape[0]):
            bucket = _short(words, row, piece)
            following[row, piece] = heads[piece, bucket]
        for piece in range(heads.shape[0]):
            heads[piece, _short(words, row, piece)] = row


@compiled
def search_chains(
    queries: _Words,
    begin: int,
    reach: tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]],
    words: _Words,
    size: int,
    live: NDArray[np.bool_],
    chains: tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32]],
    room: tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16], NDArray[np.bool_]],
) -> tuple[int, int]:
    """Do with chains what :func:`search_table` does with a table; ``chains``: pieces, heads, following."""
    limit, out_query, out_record, out_distance, cut = room
    front = np.empty(reach[3].shape[1], np.uint32)
    found = 0
    for number in range(begin, queries.shape[0]):
        if found + limit > out_record.shape[0]:
            return number, found
        count = 0
        for piece in range(chains[0].shape[0]):
            if reach[1][piece] >= 0 and count <= limit:
                count = _follow(
                    queries[number],
                    piece,
                    reach,
                    words,
                    size,
                    live,
                    chains,
                    front,
                    limit,
                    count,
                    out_record[found:],
                    out_distance[found:],
                )
        cut[number] = count > limit
        count = min(count, limit)
        out_query[found : found + count] = number
        found += count
    return queries.shape[0], found


@compiled
def _follow(
    query: _Words,
    piece: int,
    reach: Any,
    words: _Words,
    size: int,
    live: Any,
    chains: Any,
    front: Any,
    limit: int,
    count: int,
    out_record: Any,
    out_distance: Any,
) -> int:
    """Follow all chains of one piece side by side, a link at a time."""
    radius, allowed, visits, masks = reach
    pieces, heads, following = chains
    value = _piece_of_one(query, pieces[piece, 0], pieces[piece, 1])
    standing = 0
    for k in range(visits[piece]):
        record = heads[piece, value ^ masks[0, k]]
        if record != _NONE:
            front[standing] = record
            standing += 1
    while standing:
        for k in range(standing):
            fetch(words, np.int64(front[k]) * words.shape[1])
            fetch(following, np.int64(front[k]) * following.shape[1] + piece)
        staying = 0
        for k in range(standing):
            record = np.int64(front[k])
            # A record beyond ``size`` came after the search began.
            if record < size and live[record]:
                distance = _distance(words, record, query)
                if distance <= radius and _is_first(words, record, query, piece, pieces, allowed):
                    if count == limit:
                        return limit + 1
                    out_record[count] = record
                    out_distance[count] = distance
                    count += 1
            if following[record, piece] != _NONE:
                front[staying] = following[record, piece]
                staying += 1
        standing = staying
    return count


@inlined
def _distance(words: _Words, row: int, query: _Words) -> int:
    total = np.uint64(0)
    for word in range(words.shape[1]):
        total += popcount(words[row, word] ^ query[word])
    return np.int64(total)


@compiled
def _is_first(
    words: _Words, row: int, query: _Words, piece: int, pieces: NDArray[np.int64], allowed: NDArray[np.int64]
) -> bool:
    """Say whether no earlier piece leads to this record too."""
    for earlier in range(piece):
        first, width = pieces[earlier, 0], pieces[earlier, 1]
        apart = _piece_of(words, row, first, width) ^ _piece_of_one(query, first, width)
        if np.int64(popcount(np.uint64(apart))) <= allowed[earlier]:
            return False
    return True


@inlined
def _piece_of(words: _Words, row: int, first: int, width: int) -> int:
    """Return ``width`` bits of a row, from bit ``first`` on; bit 0 is the lowest of word 0."""
    word, shift = first >> 6, first & 63
    value = words[row, word] >> np.uint64(shift)
    if shift + width > 64:
        value |= words[row, word + 1] << np.uint64(64 - shift)
    return np.int64(value & np.uint64((1 << width) - 1))


@inlined
def _piece_of_one(words: _Words, first: int, width: int) -> int:
    word, shift = first >> 6, first & 63
    value = words[word] >> np.uint64(shift)
    if shift + width > 64:
        value |= words[word + 1] << np.uint64(64 - shift)
    return np.int64(value & np.uint64((1 << width) - 1))


@inlined
def _short(words: _Words, row: int, piece: int) -> int:
    return np.int64((words[row, piece >> 2] >> np.uint64((piece & 3) << 4)) & np.uint64(0xFFFF))
