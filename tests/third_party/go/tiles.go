package main

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// height is that of every tile of C2SP's tlog-tiles: 256 hashes. Go's tiles have heights of their own.
const (
	height = 8
	width  = 1 << height
)

// tiles reads Go's tiles where C2SP's lie, each once; one value serves one tree.
type tiles struct {
	from source
	kept map[tlog.Tile][]byte
}

func (t *tiles) Height() int { return height }

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(wanted))
	for i, tile := range wanted {
		data, known := t.kept[tile]
		if !known {
			var err error
			if data, err = t.from.read(pathOf(tile)); err != nil {
				return nil, err
			}
		}
		if len(data) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s: %d bytes instead of %d", pathOf(tile), len(data), tile.W*tlog.HashSize)
		}
		found[i] = data
	}
	return found, nil
}

func (t *tiles) SaveTiles(found []tlog.Tile, data [][]byte) {
	for i, tile := range found {
		t.kept[tile] = data[i]
	}
}

// pathOf leaves out the height, which C2SP's paths do not have, and calls the leaves entries.
func pathOf(tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
	return strings.Replace(path, "tile/data/", "tile/entries/", 1)
}

// leavesOf reads the bundle of entries that begins with leaf first.
func leavesOf(from source, first, count int64) ([][]byte, error) {
	path := pathOf(tlog.Tile{H: height, L: -1, N: first / width, W: int(count)})
	data, err := from.read(path)
	if err != nil {
		return nil, err
	}
	var leaves [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("%s: cut off in leaf %d", path, len(leaves))
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		leaves, data = append(leaves, data[2:end]), data[end:]
	}
	if int64(len(leaves)) != count {
		return nil, fmt.Errorf("%s: %d leaves instead of %d", path, len(leaves), count)
	}
	return leaves, nil
}
