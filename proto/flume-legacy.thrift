// The Thrift wire of Flume 0.9, as packages/rpc/src/legacy takes it: binary, without frames.

namespace java com.cloudera.flume.handlers.thrift

enum Priority {
  FATAL = 0,
  ERROR = 1,
  WARN = 2,
  INFO = 3,
  DEBUG = 4,
  TRACE = 5,
}

struct ThriftFlumeEvent {
  // Milliseconds since 1970.
  1: i64 timestamp,
  2: Priority priority,
  3: binary body,
  // On a clock of the sender's own, to tell events of one millisecond apart.
  4: i64 nanos,
  5: string host,
  6: map<string, binary> fields,
}

service ThriftFlumeEventServer {
  // Nobody hears what became of it.
  oneway void append(1: ThriftFlumeEvent evt),

  // Answered when the events before it are stored.
  void close(),
}
