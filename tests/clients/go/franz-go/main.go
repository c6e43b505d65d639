// franz-go with kadm: admin, all codecs, offsets by time, groups of both protocols, transactions with fencing.
//
// Lacks: nothing that is checked elsewhere.
package main

import (
	"context"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	. "headwater/clients/checks"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const name = "franz-go"

var (
	bootstrap  = os.Args[1]
	ctx        = context.Background()
	admin      = kadm.NewClient(client())
	everything = []int32{0, 1, 2, 3}
)

func client(options ...kgo.Opt) *kgo.Client {
	// Who sends says which partition.
	return Must(kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()))...))
}

func create(topic string, partitions int32) string {
	_ = Must(admin.CreateTopic(ctx, partitions, 1, nil, topic))
	return topic
}

// send sends these records and returns the offsets that the broker gave them.
func send(to *kgo.Client, topic string, partition int32, made []Record) []int64 {
	offsets, err := trySend(to, topic, partition, made)
	Done(err)
	return offsets
}

func trySend(to *kgo.Client, topic string, partition int32, made []Record) (offsets []int64, err error) {
	var records []*kgo.Record
	for _, one := range made {
		record := &kgo.Record{Topic: topic, Partition: partition, Key: one.Key, Value: one.Value, Timestamp: one.At}
		for _, header := range one.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader(header))
		}
		records = append(records, record)
	}
	for _, result := range to.ProduceSync(ctx, records...) {
		if result.Err != nil {
			return nil, result.Err
		}
		offsets = append(offsets, result.Record.Offset)
	}
	return offsets, nil
}

// fill sends records to partitions by a producer of its own.
func fill(topic string, count int, partitions ...int32) {
	to := client()
	defer to.Close()
	for _, partition := range partitions {
		send(to, topic, partition, Records("fill", count))
	}
}

// poll returns what is there, or comes within a moment.
func poll(from *kgo.Client) []*kgo.Record {
	moment, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	fetches := from.PollFetches(moment)
	fetches.EachError(func(_ string, _ int32, err error) {
		if err != context.DeadlineExceeded {
			panic(err)
		}
	})
	return fetches.Records()
}

// read returns the first records of a partition.
func read(topic string, partition int32, count int, isolation kgo.IsolationLevel) (got []*kgo.Record) {
	from := client(kgo.FetchIsolationLevel(isolation), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}))
	defer from.Close()
	Until("records are read", func() bool {
		got = append(got, poll(from)...)
		return len(got) >= count
	})
	return got
}

func offsets(records []*kgo.Record) (all []int64) {
	for _, record := range records {
		all = append(all, record.Offset)
	}
	return all
}

// content is what of a record has to come back.
func content(record *kgo.Record) Record {
	one := Record{Key: record.Key, Value: record.Value, At: record.Timestamp}
	for _, header := range record.Headers {
		one.Headers = append(one.Headers, Header(header))
	}
	return one
}

func setting(topic, key string) kadm.Config {
	told := Must(Must(admin.DescribeTopicConfigs(ctx, topic)).On(topic, nil))
	Done(told.Err)
	return told.Configs[slices.IndexFunc(told.Configs, func(one kadm.Config) bool { return one.Key == key })]
}

func alter(topic string, change kadm.AlterConfig) {
	answer := Must(Must(admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{change}, topic)).On(topic, nil))
	Done(answer.Err)
}

func partitions(topic string) []int32 {
	return Must(admin.ListTopics(ctx, topic))[topic].Partitions.Numbers()
}

func checkAdmin(topic string) {
	Check("a topic is created with a setting, and described", func() {
		_ = Must(admin.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": kadm.StringPtr("86400000")}, topic))
		Equal("partitions", partitions(topic), []int32{0, 1})
		Equal("replicas in sync", len(Must(admin.ListTopics(ctx, topic))[topic].Partitions[1].ISR), 1)
		told := setting(topic, "retention.ms")
		Equal("retention.ms", told.MaybeValue(), "86400000")
	})
	Check("a topic that exists is refused", func() {
		_, err := admin.CreateTopic(ctx, 1, 1, nil, topic)
		Equal("error", err, error(kerr.TopicAlreadyExists))
	})
	Check("a setting is altered and deleted", func() {
		alter(topic, kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("7200000")})
		Until("it is altered", func() bool { told := setting(topic, "retention.ms"); return told.MaybeValue() == "7200000" })
		alter(topic, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: "retention.ms"})
		Until("it is the default again", func() bool { return setting(topic, "retention.ms").Source.String() == "DEFAULT_CONFIG" })
	})
	Check("partitions are added", func() {
		answer := Must(Must(admin.UpdatePartitions(ctx, 4, topic)).On(topic, nil))
		Done(answer.Err)
		Until("there are four", func() bool { return len(partitions(topic)) == 4 })
	})
}

func checkCodecs() {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	for _, codec := range slices.Sorted(maps.Keys(codecs)) {
		Check("records by "+codec+" come back byte by byte", func() {
			topic := create(Fresh(name, codec), 2)
			to := client(kgo.ProducerBatchCompression(codecs[codec]))
			defer to.Close()
			for partition := range int32(2) {
				made := Records(codec, 12)
				Equal("offsets", send(to, topic, partition, made), []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
				for place, record := range read(topic, partition, len(made), kgo.ReadUncommitted()) {
					Equal("offset", record.Offset, int64(place))
					Same(record.Offset, content(record), made[place])
					Equal("kind of timestamp", record.Attrs.TimestampType(), int8(0))
				}
			}
		})
	}
}

func checkTime() {
	topic := create(Fresh(name, "time"), 1)
	at := func(listed kadm.ListedOffsets, err error) int64 {
		one, _ := Must(listed, err).Lookup(topic, 0)
		Done(one.Err)
		return one.Offset
	}
	Check("offsets by time, the first, the last, the newest", func() {
		made := Records("time", 12)
		// One compressed batch, which is this client's default: the broker has to look into it.
		to := client(kgo.ProducerLinger(50 * time.Millisecond))
		defer to.Close()
		send(to, topic, 0, made)
		sixth := made[5].At.UnixMilli()
		Equal("before all", at(admin.ListOffsetsAfterMilli(ctx, sixth-60_000, topic)), int64(0))
		Equal("at the sixth", at(admin.ListOffsetsAfterMilli(ctx, sixth, topic)), int64(5))
		Equal("behind the sixth", at(admin.ListOffsetsAfterMilli(ctx, sixth+1, topic)), int64(6))
		// kadm asks for the end where nothing is as young.
		Equal("after all", at(admin.ListOffsetsAfterMilli(ctx, sixth+600_000, topic)), int64(12))
		Equal("first", at(admin.ListStartOffsets(ctx, topic)), int64(0))
		Equal("last", at(admin.ListEndOffsets(ctx, topic)), int64(12))
		Equal("newest", at(admin.ListMaxTimestampOffsets(ctx, topic)), int64(11))
	})
	Check("records are deleted up to an offset", func() {
		var up kadm.Offsets
		up.Add(kadm.Offset{Topic: topic, Partition: 0, At: 5})
		answer, _ := Must(admin.DeleteRecords(ctx, up)).Lookup(topic, 0)
		Done(answer.Err)
		Equal("low watermark", answer.LowWatermark, int64(5))
		Until("they are gone", func() bool { return at(admin.ListStartOffsets(ctx, topic)) == 5 })
	})
}

// A member of a group, with what it has and what it has read.
type member struct {
	*kgo.Client
	lock sync.Mutex
	has  map[int32]bool
	got  []*kgo.Record
}

func join(group, topic string, options ...kgo.Opt) *member {
	joined := &member{has: map[int32]bool{}}
	note := func(has bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			joined.lock.Lock()
			defer joined.lock.Unlock()
			for _, partition := range changed[topic] {
				joined.has[partition] = has
			}
		}
	}
	joined.Client = client(append(options, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(note(true)), kgo.OnPartitionsRevoked(note(false)), kgo.OnPartitionsLost(note(false)))...)
	return joined
}

// poll reads, and returns which partitions the member has.
func (m *member) poll() (has []int32) {
	m.got = append(m.got, poll(m.Client)...)
	m.lock.Lock()
	defer m.lock.Unlock()
	for partition, yes := range m.has {
		if yes {
			has = append(has, partition)
		}
	}
	slices.Sort(has)
	return has
}

func (m *member) partitionsRead() []int32 {
	read := map[int32]bool{}
	for _, record := range m.got {
		read[record.Partition] = true
	}
	return slices.Sorted(maps.Keys(read))
}

func checkGroup(protocol string, options ...kgo.Opt) {
	topic, group := create(Fresh(name, "group"), 4), Fresh(name, "group-"+protocol)
	var first, second *member
	Check(protocol+": a second member takes partitions of the first", func() {
		first = join(group, topic, options...)
		Until("the first has all partitions", func() bool { return slices.Equal(first.poll(), everything) })
		second = join(group, topic, options...)
		Until("both have two", func() bool {
			one, other := first.poll(), second.poll()
			return len(one) == 2 && len(other) == 2 && slices.Equal(slices.Sorted(slices.Values(append(one, other...))), everything)
		})
	})
	if second == nil {
		return
	}
	Check(protocol+": the group is listed and described with two members", func() { describe(group, protocol, 2) })
	Check(protocol+": both read, each what it has, and commit", func() {
		fill(topic, 10, everything...)
		Until("all 40 are read", func() bool { return len(first.poll())+len(second.poll()) == 4 && len(first.got)+len(second.got) == 40 })
		for _, one := range []*member{first, second} {
			Equal("partitions read", one.partitionsRead(), one.poll())
			Done(one.CommitUncommittedOffsets(ctx))
		}
	})
	Check(protocol+": who stays gets the partitions of who leaves", func() {
		first.Close()
		Until("the second has all", func() bool { return slices.Equal(second.poll(), everything) })
		second.Close()
	})
	Check(protocol+": a new member resumes where the group committed", func() {
		fill(topic, 1, everything...)
		third := join(group, topic, options...)
		defer third.Close()
		Until("the 4 new ones are read", func() bool { return slices.Equal(third.poll(), everything) && len(third.got) >= 4 })
		Equal("offsets", offsets(third.got), []int64{10, 10, 10, 10})
		Equal("partitions", third.partitionsRead(), everything)
		for _, partition := range everything {
			Equal("committed", committed(group, topic, partition), int64(10))
		}
	})
	Check(protocol+": an empty group is deleted", func() {
		Until("it is deleted", func() bool {
			_, err := admin.DeleteGroup(ctx, group)
			return err == nil
		})
		Equal("listed", slices.Contains(Must(admin.ListGroups(ctx)).Groups(), group), false)
	})
}

func committed(group, topic string, partition int32) int64 {
	one, there := Must(admin.FetchOffsets(ctx, group)).Lookup(topic, partition)
	if !there {
		return -1
	}
	Done(one.Err)
	return one.At
}

func describe(group, protocol string, members int) {
	Equal("state in the list", Must(admin.ListGroups(ctx))[group].State, "Stable")
	if protocol == "consumer" {
		told := Must(admin.DescribeConsumerGroups(ctx, group))[group]
		Done(told.Err)
		Equal("state", told.State, "Stable")
		Equal("members", len(told.Members), members)
		return
	}
	told := Must(admin.DescribeGroups(ctx, group))[group]
	Done(told.Err)
	Equal("state", told.State, "Stable")
	Equal("members", len(told.Members), members)
	for _, partitions := range told.AssignedPartitions() {
		Equal("partitions", len(partitions), len(everything))
	}
}

func transact(with *kgo.Client, topic string, count int, end kgo.TransactionEndTry) {
	Done(with.BeginTransaction())
	send(with, topic, 0, Records("transaction", count))
	Done(with.EndTransaction(ctx, end))
}

func checkTransactions() {
	topic, id := create(Fresh(name, "transactions"), 1), kgo.TransactionalID(Fresh(name, "transactional"))
	first, successor := client(id), client(id)
	defer successor.Close()
	Check("what a transaction commits is seen, what it aborts is not", func() {
		transact(first, topic, 3, kgo.TryCommit)
		transact(first, topic, 2, kgo.TryAbort)
		transact(first, topic, 1, kgo.TryCommit)
		// The ends of transactions take an offset each: 3, 6 and 8.
		Equal("committed", offsets(read(topic, 0, 4, kgo.ReadCommitted())), []int64{0, 1, 2, 7})
		Equal("all", offsets(read(topic, 0, 6, kgo.ReadUncommitted())), []int64{0, 1, 2, 4, 5, 7})
	})
	Check("an open transaction ends what read_committed sees", func() {
		Done(first.BeginTransaction())
		Equal("offset", send(first, topic, 0, Records("open", 1)), []int64{9})
		stable, _ := Must(admin.ListCommittedOffsets(ctx, topic)).Lookup(topic, 0)
		end, _ := Must(admin.ListEndOffsets(ctx, topic)).Lookup(topic, 0)
		Equal("ends", []int64{stable.Offset, end.Offset}, []int64{9, 10})
	})
	Check("a second producer of the same name ends the first's transaction and fences it", func() {
		Done(successor.BeginTransaction())
		last := send(successor, topic, 0, Records("successor", 1))[0]
		if _, err := trySend(first, topic, 0, Records("zombie", 1)); err == nil {
			err = first.EndTransaction(ctx, kgo.TryCommit)
			Equal("the first one commits", err != nil, true)
		}
		Done(successor.EndTransaction(ctx, kgo.TryCommit))
		Equal("committed", offsets(read(topic, 0, 5, kgo.ReadCommitted())), []int64{0, 1, 2, 7, last})
	})
	// What it still has to send is thrown away; it could not be sent any more.
	first.CloseAllowingRebalance()
}

func checkOffsetsInTransaction() {
	Check("records are read, transformed and written exactly once", func() {
		input, output, group := create(Fresh(name, "input"), 1), create(Fresh(name, "output"), 1), Fresh(name, "group")
		fill(input, 8, 0)
		session := Must(kgo.NewGroupTransactSession(kgo.SeedBrokers(bootstrap), kgo.TransactionalID(Fresh(name, "transactional")), kgo.ConsumerGroup(group),
			kgo.ConsumeTopics(input), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.RequireStableFetchOffsets()))
		defer session.Close()
		// An aborted round leaves no trace, and its records come again.
		for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
			Done(session.Begin())
			copied := 0
			Until("8 are copied", func() bool {
				moment, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
				defer cancel()
				for _, record := range session.PollFetches(moment).Records() {
					Done(session.ProduceSync(ctx, &kgo.Record{Topic: output, Value: record.Value}).FirstErr())
					copied++
				}
				return copied == 8
			})
			Equal("it is committed", Must(session.End(ctx, end)), bool(end))
		}
		Equal("written", offsets(read(output, 0, 8, kgo.ReadCommitted())), []int64{9, 10, 11, 12, 13, 14, 15, 16})
		Until("8 is committed", func() bool { return committed(group, input, 0) == 8 })
	})
}

func checkDeletion(topic string) {
	Check("a topic is deleted", func() {
		_ = Must(admin.DeleteTopic(ctx, topic))
		Until("it is gone", func() bool { return !slices.Contains(Must(admin.ListTopics(ctx)).Names(), topic) })
	})
}

func main() {
	Version("github.com/twmb/franz-go")
	topic := Fresh(name, "admin")
	checkAdmin(topic)
	checkCodecs()
	checkTime()
	checkGroup("classic")
	checkGroup("consumer", kgo.ServerSideBalancer())
	checkTransactions()
	checkOffsetsInTransaction()
	checkDeletion(topic)
	End()
}
