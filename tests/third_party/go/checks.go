package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// answer is what was verified.
type answer struct {
	Origin     string  `json:"origin"`
	Size       int64   `json:"size"`
	Root       string  `json:"root"`
	Leaves     int64   `json:"leaves"`
	Proved     int     `json:"proved"`
	Committed  int     `json:"committed"`
	Consistent []int64 `json:"consistent"`
}

// log is a published tree: what was signed, where its files are, and a reader of the tiles that a proof needs.
//
// The reader also authenticates tiles, but before x/mod 0.40 not all of them (CVE-2026-56865), so nothing
// here rests on that: every tile is compared with what the leaves make it, and every proof is checked.
type log struct {
	tree   tlog.Tree
	from   source
	hashes tlog.HashReader
}

func verify(asked question) (*answer, error) {
	verifier, err := note.NewVerifier(asked.key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	from := open(asked.log)
	text, err := checkpointText(from, asked.checkpoint)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	tree, err := openCheckpoint(text, verifier)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	published := log{tree, from, tlog.TileHashReader(tree, &tiles{from, map[tlog.Tile][]byte{}})}
	done := begin(verifier, tree)
	return done, published.check(asked, verifier, done)
}

func begin(verifier note.Verifier, tree tlog.Tree) *answer {
	root := fmt.Sprintf("%x", tree.Hash[:])
	return &answer{Origin: verifier.Name(), Size: tree.N, Root: root, Consistent: []int64{}}
}

func (l log) check(asked question, verifier note.Verifier, done *answer) error {
	if err := l.checkTree(); err != nil {
		return err
	}
	done.Leaves = l.tree.N
	for _, index := range asked.prove {
		if err := l.checkInclusion(index); err != nil {
			return fmt.Errorf("inclusion of leaf %d: %w", index, err)
		}
		done.Proved++
	}
	for _, file := range asked.old {
		size, err := l.checkConsistency(file, verifier)
		if err != nil {
			return fmt.Errorf("consistency with %s: %w", file, err)
		}
		done.Consistent = append(done.Consistent, size)
	}
	return nil
}

func checkpointText(from source, file string) ([]byte, error) {
	if file != "" {
		return os.ReadFile(file)
	}
	return from.read("checkpoint")
}

// openCheckpoint verifies the signature; after its first line, which names the log, a checkpoint reads
// as Go's own tree notes do.
func openCheckpoint(text []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.SplitN(opened.Text, "\n", 2)
	if lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("it is of the log %q, and the key of %q", lines[0], verifier.Name())
	}
	return tlog.ParseTree([]byte("go.sum database tree\n" + lines[1]))
}

func (l log) checkInclusion(index int64) error {
	proof, err := tlog.ProveRecord(l.tree.N, index, l.hashes)
	if err != nil {
		return err
	}
	first := index / width * width
	leaves, err := leavesOf(l.from, first, least(width, l.tree.N-first))
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, l.tree.N, l.tree.Hash, index, tlog.RecordHash(leaves[index-first]))
}

// checkConsistency shows that the tree of an older checkpoint is the beginning of this one.
func (l log) checkConsistency(file string, verifier note.Verifier) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	old, err := openCheckpoint(text, verifier)
	if err != nil {
		return 0, err
	}
	if old.N == 0 {
		return 0, isEmptyTree(old)
	}
	if old.N > l.tree.N {
		return 0, fmt.Errorf("it had %d leaves, and there are %d", old.N, l.tree.N)
	}
	proof, err := tlog.ProveTree(l.tree.N, old.N, l.hashes)
	if err != nil {
		return 0, err
	}
	return old.N, tlog.CheckTree(proof, l.tree.N, l.tree.Hash, old.N, old.Hash)
}
