package main

import (
	"bytes"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// memory holds every hash of a tree, in the order in which tlog stores them.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(m)) {
			return nil, fmt.Errorf("hash %d of %d", index, len(m))
		}
		found[i] = m[index]
	}
	return found, nil
}

// checkTree makes the whole tree anew from its leaves, and compares the root and every tile.
func (l log) checkTree() error {
	if l.tree.N == 0 {
		return isEmptyTree(l.tree)
	}
	hashes, err := l.rebuild()
	if err != nil {
		return err
	}
	root, err := tlog.TreeHash(l.tree.N, hashes)
	if err != nil {
		return err
	}
	if root != l.tree.Hash {
		return fmt.Errorf("the leaves make the root %v, and %v was signed", root, l.tree.Hash)
	}
	for level := 0; l.tree.N>>(height*level) > 0; level++ {
		if err := l.checkLevel(level, hashes); err != nil {
			return err
		}
	}
	return nil
}

func (l log) rebuild() (memory, error) {
	hashes := make(memory, 0, tlog.StoredHashCount(l.tree.N))
	for first := int64(0); first < l.tree.N; first += width {
		leaves, err := leavesOf(l.from, first, least(width, l.tree.N-first))
		if err != nil {
			return nil, err
		}
		for i, leaf := range leaves {
			more, err := tlog.StoredHashes(first+int64(i), leaf, hashes)
			if err != nil {
				return nil, err
			}
			hashes = append(hashes, more...)
		}
	}
	return hashes, nil
}

func (l log) checkLevel(level int, hashes memory) error {
	count := l.tree.N >> (height * level)
	for first := int64(0); first < count; first += width {
		tile := tlog.Tile{H: height, L: level, N: first / width, W: int(least(width, count-first))}
		wanted, err := tlog.ReadTileData(tile, hashes)
		if err != nil {
			return err
		}
		found, err := l.from.read(pathOf(tile))
		if err != nil {
			return err
		}
		if !bytes.Equal(found, wanted) {
			return fmt.Errorf("%s: is not what the leaves make it", pathOf(tile))
		}
	}
	return nil
}

// emptyRoot is the SHA-256 of nothing, the root of a tree without leaves in RFC 6962; in tlog it is zero.
const emptyRoot = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

func isEmptyTree(tree tlog.Tree) error {
	if tree.Hash.String() != emptyRoot {
		return fmt.Errorf("%v is not the root of no leaves", tree.Hash)
	}
	return nil
}

func least(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}
