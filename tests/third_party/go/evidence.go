package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// evidence is what the registry gives of one record; it is checked without the registry.
type evidence struct {
	Record     string  `json:"record"`
	Checkpoint string  `json:"checkpoint"`
	Events     []event `json:"events"`
}

type event struct {
	Seq     int64           `json:"seq"`
	Leaf    string          `json:"leaf"`
	Salt    string          `json:"salt"`
	Payload json.RawMessage `json:"payload"`
	Proof   []string        `json:"proof"`
}

type leaf struct {
	Seq        int64  `json:"seq"`
	Record     string `json:"record"`
	Commitment string `json:"commitment"`
}

// verifyEvidence checks the checkpoint, and of every event the path to its root and what its leaf commits to.
func verifyEvidence(asked question) (*answer, error) {
	verifier, err := note.NewVerifier(asked.key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	text, err := os.ReadFile(asked.evidence)
	if err != nil {
		return nil, err
	}
	var given evidence
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	tree, err := openCheckpoint([]byte(given.Checkpoint), verifier)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	done := begin(verifier, tree)
	for _, one := range given.Events {
		if err := one.check(given.Record, tree); err != nil {
			return nil, fmt.Errorf("event %d: %w", one.Seq, err)
		}
		done.Proved++
		if !one.isSilent() {
			done.Committed++
		}
	}
	return done, nil
}

func (e event) check(record string, tree tlog.Tree) error {
	var said leaf
	if err := json.Unmarshal([]byte(e.Leaf), &said); err != nil {
		return err
	}
	if said.Seq != e.Seq || said.Record != record {
		return fmt.Errorf("its leaf is of event %d of %s", said.Seq, said.Record)
	}
	proof := make(tlog.RecordProof, len(e.Proof))
	for i, text := range e.Proof {
		data, err := hex.DecodeString(text)
		if err != nil || copy(proof[i][:], data) != tlog.HashSize {
			return fmt.Errorf("hash %d of its proof is not one: %q", i, text)
		}
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, e.Seq-1, tlog.RecordHash([]byte(e.Leaf))); err != nil {
		return err
	}
	return e.checkCommitment(said.Commitment)
}

// isSilent says whether what the event said was erased, or is not shown.
func (e event) isSilent() bool { return len(e.Payload) == 0 || string(e.Payload) == "null" }

func (e event) checkCommitment(wanted string) error {
	if e.isSilent() {
		return nil
	}
	salt, err := hex.DecodeString(e.Salt)
	if err != nil {
		return err
	}
	said, err := canonical(e.Payload)
	if err != nil {
		return err
	}
	sum := hmac.New(sha256.New, salt)
	sum.Write(said)
	if hex.EncodeToString(sum.Sum(nil)) != wanted {
		return fmt.Errorf("it says something else than its leaf commits to")
	}
	return nil
}

// canonical writes JSON as RFC 8785 does: for the names, whole numbers and texts that stand in records, Go's
// encoder does the same once it leaves HTML alone.
func canonical(data []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value interface{}
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
