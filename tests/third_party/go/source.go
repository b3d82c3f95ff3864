package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
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
	return os.ReadFile(filepath.Join(string(f), filepath.FromSlash(path)))
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
