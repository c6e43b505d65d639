// Package checks is what the smokes in Go share: checks that are told a line each, waiting for a condition, and records to send.
//
// Within a check, what goes wrong ends it at once: Must, Equal and Until panic, and Check tells why.
package checks

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"time"
)

// Patience is how long to wait for what has to happen. Generous: it is reached only where something is wrong.
const Patience = 30 * time.Second

var failed bool

// Version prints which version of a module this program was built with.
func Version(module string) {
	told, _ := debug.ReadBuildInfo()
	for _, one := range told.Deps {
		if one.Path == module {
			fmt.Println("version", one.Version)
		}
	}
}

// Check runs a check and tells how it ended.
func Check(what string, run func()) {
	defer func() {
		if why := recover(); why != nil {
			failed = true
			fmt.Printf("FAIL %s: %v\n", what, why)
			return
		}
		fmt.Println("ok", what)
	}()
	run()
}

// End ends the program; its exit code says whether all checks passed.
func End() {
	if failed {
		os.Exit(1)
	}
	os.Exit(0)
}

// Must is a value that comes without an error.
func Must[T any](value T, err error) T {
	Done(err)
	return value
}

// Done ends the check if there is an error.
func Done(err error) {
	if err != nil {
		panic(err)
	}
}

// Equal ends the check if two values differ.
func Equal(what string, got, expected any) {
	if !reflect.DeepEqual(got, expected) {
		panic(fmt.Sprintf("%s: %s instead of %s", what, short(got), short(expected)))
	}
}

// Same ends the check if a record came back as another one.
func Same(offset int64, got, expected Record) {
	what := fmt.Sprintf(" of the record at %d", offset)
	Equal("key"+what, got.Key, expected.Key)
	Equal("value"+what, got.Value, expected.Value)
	Equal("headers"+what, got.Headers, expected.Headers)
	Equal("timestamp"+what, got.At.UnixMilli(), expected.At.UnixMilli())
}

// Until asks again until the condition holds; what is asked must itself wait a little.
func Until(what string, holds func() bool) {
	for end := time.Now().Add(Patience); !holds(); {
		if time.Now().After(end) {
			panic(fmt.Sprintf("%s: not after %v", what, Patience))
		}
	}
}

// Fresh is a name that no other run uses.
func Fresh(client, what string) string {
	random := make([]byte, 4)
	_ = Must(rand.Read(random))
	return client + "-" + what + "-" + hex.EncodeToString(random)
}

// Header is one of a record's.
type Header struct {
	Key   string
	Value []byte
}

// Record is what a smoke sends and expects to read.
type Record struct {
	Key, Value []byte
	Headers    []Header
	At         time.Time
}

// Records have everything: keys and none, values and tombstones, headers twice and without a value, large ones. Each is a second
// younger than the one before, the first a minute old.
func Records(label string, count int) []Record {
	every := make([]byte, 256)
	for value := range every {
		every[value] = byte(value)
	}
	values := [][]byte{{}, every, bytes.Repeat([]byte("stream "), 15_000), nil}
	first := time.UnixMilli(time.Now().Add(-time.Minute).UnixMilli())
	made := make([]Record, count)
	for number := range made {
		one := Record{At: first.Add(time.Duration(number) * time.Second)}
		if number%5 != 4 {
			one.Key = fmt.Appendf(nil, "key-%d", number)
		}
		if number < len(values) {
			one.Value = values[number]
		} else {
			one.Value = fmt.Appendf(nil, "%s-%d", label, number)
		}
		if number%3 != 0 {
			one.Headers = []Header{{"from", []byte(label)}, {"number", []byte{byte(number)}}, {"empty", []byte{}}, {"null", nil}, {"from", []byte("again")}}
		}
		made[number] = one
	}
	return made
}

func short(value any) string {
	text := fmt.Sprintf("%#v", value)
	if len(text) > 600 {
		text = text[:600] + "..."
	}
	return text
}
