// Flume's Thrift wire between agents, as packages/rpc/src/thrift speaks it: framed, compact or binary.

namespace java org.apache.flume.thrift

struct ThriftFlumeEvent {
  1: required map<string, string> headers,
  2: required binary body,
}

// Not the numbers of the Avro wire, which has no ERROR. A Flume source answers OK or FAILED only.
enum Status {
  OK = 0,
  FAILED = 1,
  ERROR = 2,
  UNKNOWN = 3,
}

service ThriftSourceProtocol {
  Status append(1: ThriftFlumeEvent event),

  // All of the events or none.
  Status appendBatch(1: list<ThriftFlumeEvent> events),
}
