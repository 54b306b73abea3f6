// Scribe's wire, as packages/rpc/src/legacy takes it: framed, binary; replies have the head without a
// version.

namespace java org.apache.flume.source.scribe

enum ResultCode {
  OK = 0,
  // Nothing of the call was stored.
  TRY_LATER = 1,
}

struct LogEntry {
  1: string category,
  // Any bytes: the event's body.
  2: string message,
}

service Scribe {
  ResultCode Log(1: list<LogEntry> messages),
}
