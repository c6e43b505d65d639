// sarama: admin, all codecs, offsets by time, a group of two, transactions with fencing.
//
// Lacks: the group protocol of KIP-848.
package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	. "headwater/clients/checks"

	"github.com/IBM/sarama"
)

const name = "sarama"

var (
	addresses  = []string{os.Args[1]}
	client     = Must(sarama.NewClient(addresses, config()))
	admin      = Must(sarama.NewClusterAdminFromClient(client))
	everything = []int32{0, 1, 2, 3}
)

func config(changes ...func(*sarama.Config)) *sarama.Config {
	made := sarama.NewConfig()
	made.Version = sarama.V4_1_0_0
	made.Producer.Return.Successes = true
	made.Producer.RequiredAcks = sarama.WaitForAll
	made.Producer.Partitioner = sarama.NewManualPartitioner
	made.Producer.Flush.Frequency = 20 * time.Millisecond
	made.Consumer.Offsets.Initial = sarama.OffsetOldest
	made.Consumer.Offsets.AutoCommit.Enable = false
	made.Metadata.AllowAutoTopicCreation = false
	for _, change := range changes {
		change(made)
	}
	return made
}

func compressed(codec sarama.CompressionCodec) func(*sarama.Config) {
	return func(config *sarama.Config) { config.Producer.Compression = codec }
}

func transactional(id string) func(*sarama.Config) {
	return func(config *sarama.Config) {
		config.Producer.Transaction.ID = id
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
}

func create(topic string, partitions int32) string {
	Done(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false))
	return topic
}

func producer(changes ...func(*sarama.Config)) sarama.SyncProducer {
	return Must(sarama.NewSyncProducer(addresses, config(changes...)))
}

// encoder tells a null value from an empty one.
func encoder(value []byte) sarama.Encoder {
	if value == nil {
		return nil
	}
	return sarama.ByteEncoder(value)
}

// send sends these records and returns the offsets that the broker gave them.
func send(to sarama.SyncProducer, topic string, partition int32, made []Record) []int64 {
	offsets, err := trySend(to, topic, partition, made)
	Done(err)
	return offsets
}

func trySend(to sarama.SyncProducer, topic string, partition int32, made []Record) (offsets []int64, err error) {
	var messages []*sarama.ProducerMessage
	for _, one := range made {
		message := &sarama.ProducerMessage{Topic: topic, Partition: partition, Key: encoder(one.Key), Value: encoder(one.Value), Timestamp: one.At}
		for _, header := range one.Headers {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Key), Value: header.Value})
		}
		messages = append(messages, message)
	}
	err = to.SendMessages(messages)
	for _, message := range messages {
		offsets = append(offsets, message.Offset)
	}
	return offsets, err
}

// fill sends records to partitions by a producer of its own.
func fill(topic string, count int, partitions ...int32) {
	to := producer()
	defer to.Close()
	for _, partition := range partitions {
		send(to, topic, partition, Records("fill", count))
	}
}

// read returns the first records of a partition.
func read(topic string, partition int32, count int, isolation sarama.IsolationLevel) (got []*sarama.ConsumerMessage) {
	from := Must(sarama.NewConsumer(addresses, config(func(config *sarama.Config) { config.Consumer.IsolationLevel = isolation })))
	defer from.Close()
	reader := Must(from.ConsumePartition(topic, partition, sarama.OffsetOldest))
	defer reader.Close()
	Until("records are read", func() bool {
		select {
		case message := <-reader.Messages():
			got = append(got, message)
		case <-time.After(200 * time.Millisecond):
		}
		return len(got) >= count
	})
	return got
}

func offsets(messages []*sarama.ConsumerMessage) (all []int64) {
	for _, message := range messages {
		all = append(all, message.Offset)
	}
	return all
}

// content is what of a record has to come back.
func content(message *sarama.ConsumerMessage) Record {
	one := Record{Key: message.Key, Value: message.Value, At: message.Timestamp}
	for _, header := range message.Headers {
		one.Headers = append(one.Headers, Header{Key: string(header.Key), Value: header.Value})
	}
	return one
}

func retention(topic string) sarama.ConfigEntry {
	entries := Must(admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}}))
	Equal("entries", len(entries), 1)
	return entries[0]
}

func alter(topic string, operation sarama.IncrementalAlterConfigsOperation, value *string) {
	entries := map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {Operation: operation, Value: value}}
	Done(admin.IncrementalAlterConfig(sarama.TopicResource, topic, entries, false))
}

func describe(topic string) []*sarama.PartitionMetadata {
	told := Must(admin.DescribeTopics([]string{topic}))[0]
	Equal("error", told.Err, sarama.ErrNoError)
	return told.Partitions
}

func checkAdmin(topic string) {
	Check("a topic is created with a setting, described, and its setting altered and deleted", func() {
		day, hours := "86400000", "7200000"
		Done(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &day}}, false))
		Equal("partitions", len(describe(topic)), 2)
		Equal("replicas in sync", len(describe(topic)[0].Isr), 1)
		Equal("retention.ms", retention(topic).Value, day)
		alter(topic, sarama.IncrementalAlterConfigsOperationSet, &hours)
		Until("it is altered", func() bool { return retention(topic).Value == hours })
		alter(topic, sarama.IncrementalAlterConfigsOperationDelete, nil)
		Until("it is the default again", func() bool { return retention(topic).Default })
	})
	Check("a topic that exists is refused", func() {
		err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false)
		Equal("error", errors.Is(err, sarama.ErrTopicAlreadyExists), true)
	})
	Check("partitions are added", func() {
		Done(admin.CreatePartitions(topic, 4, nil, false))
		Until("there are four", func() bool { return len(describe(topic)) == 4 })
	})
}

func checkCodecs() {
	for _, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD} {
		Check("records by "+codec.String()+" come back byte by byte", func() {
			topic := create(Fresh(name, codec.String()), 2)
			to := producer(compressed(codec))
			defer to.Close()
			for partition := range int32(2) {
				made := Records(codec.String(), 12)
				Equal("offsets", send(to, topic, partition, made), []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
				for place, message := range read(topic, partition, len(made), sarama.ReadUncommitted) {
					Equal("offset", message.Offset, int64(place))
					Same(message.Offset, content(message), made[place])
				}
			}
		})
	}
}

func at(topic string, time int64, isolation sarama.IsolationLevel) int64 {
	found := Must(admin.ListOffsets(map[string]map[int32]int64{topic: {0: time}}, &sarama.ListOffsetsOptions{IsolationLevel: isolation}))
	Equal("error", found[topic][0].Err, error(sarama.ErrNoError))
	return found[topic][0].Offset
}

func checkTime() {
	topic := create(Fresh(name, "time"), 1)
	Check("offsets by time, the first, the last", func() {
		made := Records("time", 12)
		// One compressed batch: the broker has to look into it.
		to := producer(compressed(sarama.CompressionSnappy))
		defer to.Close()
		send(to, topic, 0, made)
		sixth := made[5].At.UnixMilli()
		for time, offset := range map[int64]int64{sixth - 60_000: 0, sixth: 5, sixth + 1: 6, sixth + 600_000: -1, sarama.OffsetOldest: 0, sarama.OffsetNewest: 12} {
			Equal("offset", at(topic, time, sarama.ReadUncommitted), offset)
		}
	})
	Check("records are deleted up to an offset", func() {
		Done(admin.DeleteRecords(topic, map[int32]int64{0: 5}))
		Until("they are gone", func() bool { return at(topic, sarama.OffsetOldest, sarama.ReadUncommitted) == 5 })
	})
}

// A member of a group, with what it has and what it has read.
type member struct {
	sarama.ConsumerGroup
	lock    sync.Mutex
	session sarama.ConsumerGroupSession
	got     []*sarama.ConsumerMessage
	ended   chan struct{}
}

func join(group, topic string) *member {
	joined := &member{ConsumerGroup: Must(sarama.NewConsumerGroup(addresses, group, config())), ended: make(chan struct{})}
	go func() {
		defer close(joined.ended)
		// A session ends with each rebalance.
		for joined.Consume(context.Background(), []string{topic}, joined) == nil {
		}
	}()
	return joined
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.session = session
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.session = nil
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		m.lock.Lock()
		m.got = append(m.got, message)
		session.MarkMessage(message, "")
		m.lock.Unlock()
	}
	return nil
}

func (m *member) leave() {
	Done(m.Close())
	<-m.ended
}

// has waits a moment, as everything goes on by itself here, and returns the member's partitions.
func (m *member) has() (partitions []int32) {
	time.Sleep(50 * time.Millisecond)
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.session != nil {
		for _, claimed := range m.session.Claims() {
			partitions = append(partitions, claimed...)
		}
	}
	slices.Sort(partitions)
	return partitions
}

func (m *member) read() []*sarama.ConsumerMessage {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Clone(m.got)
}

func (m *member) partitionsRead() []int32 {
	read := map[int32]bool{}
	for _, message := range m.read() {
		read[message.Partition] = true
	}
	return slices.Sorted(maps.Keys(read))
}

func committed(group, topic string, partition int32) int64 {
	block := Must(admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {partition}})).GetBlock(topic, partition)
	Equal("error", block.Err, sarama.ErrNoError)
	return block.Offset
}

func state(group string) *sarama.GroupDescription {
	told := Must(admin.DescribeConsumerGroups([]string{group}))[0]
	Equal("error", told.Err, sarama.ErrNoError)
	return told
}

func checkGroup() {
	topic, group := create(Fresh(name, "group"), 4), Fresh(name, "group")
	var first, second *member
	Check("a second member takes partitions of the first", func() {
		first = join(group, topic)
		Until("the first has all partitions", func() bool { return slices.Equal(first.has(), everything) })
		second = join(group, topic)
		Until("both have two", func() bool {
			one, other := first.has(), second.has()
			return len(one) == 2 && len(other) == 2 && slices.Equal(slices.Sorted(slices.Values(append(one, other...))), everything)
		})
	})
	if second == nil {
		return
	}
	Check("the group is listed and described with two members", func() {
		Equal("kind in the list", Must(admin.ListConsumerGroups())[group], "consumer")
		Equal("state", state(group).State, "Stable")
		Equal("members", len(state(group).Members), 2)
		for _, one := range state(group).Members {
			Equal("partitions of a member", len(Must(one.GetMemberAssignment()).Topics[topic]), 2)
		}
	})
	Check("both read, each what it has, and commit", func() {
		fill(topic, 10, everything...)
		Until("all 40 are read", func() bool {
			return len(first.has())+len(second.has()) == 4 && len(first.read())+len(second.read()) == 40
		})
		for _, one := range []*member{first, second} {
			Equal("partitions read", one.partitionsRead(), one.has())
			one.session.Commit()
		}
		for _, partition := range everything {
			Equal("committed", committed(group, topic, partition), int64(10))
		}
	})
	Check("who stays gets the partitions of who leaves", func() {
		first.leave()
		Until("the second has all", func() bool { return slices.Equal(second.has(), everything) })
		second.leave()
	})
	Check("a new member resumes where the group committed", func() {
		fill(topic, 1, everything...)
		third := join(group, topic)
		defer third.leave()
		Until("the 4 new ones are read", func() bool { return slices.Equal(third.has(), everything) && len(third.read()) >= 4 })
		Equal("offsets", offsets(third.read()), []int64{10, 10, 10, 10})
		Equal("partitions", third.partitionsRead(), everything)
	})
	Check("an empty group is deleted", func() {
		Until("it is empty", func() bool { return state(group).State == "Empty" })
		Done(admin.DeleteConsumerGroup(group))
		_, there := Must(admin.ListConsumerGroups())[group]
		Equal("listed", there, false)
	})
}

func transact(with sarama.SyncProducer, topic string, count int, end func() error) {
	Done(with.BeginTxn())
	send(with, topic, 0, Records("transaction", count))
	Done(end())
}

func checkTransactions() {
	topic, id := create(Fresh(name, "transactions"), 1), Fresh(name, "transactional")
	first := producer(transactional(id))
	Check("what a transaction commits is seen, what it aborts is not", func() {
		transact(first, topic, 3, first.CommitTxn)
		transact(first, topic, 2, first.AbortTxn)
		transact(first, topic, 1, first.CommitTxn)
		// The ends of transactions take an offset each: 3, 6 and 8.
		Equal("committed", offsets(read(topic, 0, 4, sarama.ReadCommitted)), []int64{0, 1, 2, 7})
		Equal("all", offsets(read(topic, 0, 6, sarama.ReadUncommitted)), []int64{0, 1, 2, 4, 5, 7})
	})
	Check("an open transaction ends what read_committed sees", func() {
		Done(first.BeginTxn())
		Equal("offset", send(first, topic, 0, Records("open", 1)), []int64{9})
		ends := []int64{at(topic, sarama.OffsetNewest, sarama.ReadCommitted), at(topic, sarama.OffsetNewest, sarama.ReadUncommitted)}
		Equal("ends", ends, []int64{9, 10})
	})
	Check("a second producer of the same name ends the first's transaction and fences it", func() {
		successor := producer(transactional(id))
		defer successor.Close()
		if _, err := trySend(first, topic, 0, Records("zombie", 1)); err == nil {
			Equal("the first one is refused", first.CommitTxn() != nil, true)
		}
		Done(successor.BeginTxn())
		last := send(successor, topic, 0, Records("successor", 1))[0]
		Done(successor.CommitTxn())
		Equal("committed", offsets(read(topic, 0, 5, sarama.ReadCommitted)), []int64{0, 1, 2, 7, last})
	})
}

func checkOffsetsInTransaction() {
	Check("offsets are committed with a transaction, and thrown away with it", func() {
		topic, group := create(Fresh(name, "input"), 1), Fresh(name, "group")
		with := producer(transactional(Fresh(name, "transactional")))
		defer with.Close()
		send := func(offset int64) {
			Done(with.BeginTxn())
			Done(with.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{topic: {{Partition: 0, Offset: offset}}}, group))
		}
		send(4)
		Done(with.CommitTxn())
		// The end of a transaction is answered before the last of its markers is written.
		Until("4 is committed", func() bool { return committed(group, topic, 0) == 4 })
		send(8)
		Done(with.AbortTxn())
		Equal("committed", committed(group, topic, 0), int64(4))
	})
}

func checkDeletion(topic string) {
	Check("a topic is deleted", func() {
		Done(admin.DeleteTopic(topic))
		Until("it is gone", func() bool {
			_, there := Must(admin.ListTopics())[topic]
			return !there
		})
	})
}

func main() {
	Version("github.com/IBM/sarama")
	topic := Fresh(name, "admin")
	checkAdmin(topic)
	checkCodecs()
	checkTime()
	checkGroup()
	checkTransactions()
	checkOffsetsInTransaction()
	checkDeletion(topic)
	End()
}
