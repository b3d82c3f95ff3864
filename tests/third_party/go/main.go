// Verifylog checks a transparency log with the code of Go's checksum database,
// golang.org/x/mod/sumdb: none of it was written for this log.
//
//	verifylog -key KEY [-checkpoint FILE] [-old FILE]… [-prove 0,255,…] FOLDER|http://HOST:PORT
//	verifylog -key KEY -evidence FILE
//
// It opens the checkpoint with the key, reads every tile and every leaf of that tree, proves
// that the leaves that are named are in it, and that it contains the trees of older checkpoints.
// Or it checks the evidence of one record by itself: each event's proof, and what its leaf commits to.
// What it verified is printed as one line of JSON. Exit codes: 0 all of it holds, 1 refused, 2 usage.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// names collects a flag that may be given several times.
type names []string

func (n *names) String() string { return strings.Join(*n, ",") }

func (n *names) Set(text string) error {
	*n = append(*n, text)
	return nil
}

// numbers reads "0,255,256".
type numbers []int64

func (n *numbers) String() string { return fmt.Sprint(*n) }

func (n *numbers) Set(text string) error {
	for _, one := range strings.Split(text, ",") {
		value, err := strconv.ParseInt(one, 10, 64)
		if err != nil {
			return err
		}
		*n = append(*n, value)
	}
	return nil
}

// question is what the command line asks.
type question struct {
	key, checkpoint, evidence, log string
	old                            names
	prove                          numbers
}

func main() {
	var asked question
	flag.StringVar(&asked.key, "key", "", "the log's public key, as `text`")
	flag.StringVar(&asked.checkpoint, "checkpoint", "", "a `file` to check instead of the log's own checkpoint")
	flag.StringVar(&asked.evidence, "evidence", "", "a `file` with the evidence of a record, instead of a log")
	flag.Var(&asked.old, "old", "a `file` with an older checkpoint, which the log must contain")
	flag.Var(&asked.prove, "prove", "`leaves` whose inclusion is proved, such as 0,255")
	flag.Parse()
	if asked.key == "" || (flag.NArg() == 1) == (asked.evidence != "") {
		flag.Usage()
		os.Exit(2)
	}
	check := verify
	if asked.evidence != "" {
		check = verifyEvidence
	}
	asked.log = flag.Arg(0)
	answer, err := check(asked)
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
}
