package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// largestFile is more than a bundle of 256 leaves of 64 KiB.
const largestFile = 17 << 20

// source gives the files of a published log by their paths.
type source interface {
	read(path string) ([]byte, error)
}

type folder string

type server struct {
	base   string
	client *http.Client
}

func open(log string) source {
	if strings.HasPrefix(log, "http://") {
		return server{strings.TrimRight(log, "/"), &http.Client{Timeout: 30 * time.Second}}
	}
	return folder(log)
}

func (f folder) read(path string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(string(f), filepath.FromSlash(path)))
	whole, width, partial := strings.Cut(path, ".p/")
	if !partial || !os.IsNotExist(err) {
		return data, err
	}
	// A log may drop partial tiles once the tile is full.
	count, err := strconv.Atoi(width)
	if err != nil {
		return nil, err
	}
	data, err = f.read(whole)
	if err != nil {
		return nil, err
	}
	return beginning(data, count, strings.HasPrefix(path, "tile/entries/"))
}

// beginning returns the first count hashes, or leaves behind their lengths, of a full tile.
func beginning(data []byte, count int, leaves bool) ([]byte, error) {
	end := 32 * count
	if leaves {
		end = 0
		for ; count > 0 && end+2 <= len(data); count-- {
			end += 2 + int(binary.BigEndian.Uint16(data[end:]))
		}
	}
	if end > len(data) {
		return nil, fmt.Errorf("a full tile of %d bytes only", len(data))
	}
	return data[:end], nil
}

func (s server) read(path string) ([]byte, error) {
	answer, err := s.client.Get(s.base + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, largestFile+1))
	if err == nil && len(data) > largestFile {
		err = fmt.Errorf("%s: more than %d bytes", path, largestFile)
	}
	return data, err
}
