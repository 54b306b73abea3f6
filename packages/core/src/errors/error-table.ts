/**
 * Every code a Millrace error can carry, and what the caller does next:
 *
 * - `retry`: the same call may succeed later; back off, then again.
 * - `reject`: this input can never succeed; tell the sender with the numbers, count it, go on.
 * - `fatal`: stop in order and exit non-zero; going on would break a promise already made.
 *
 * `ERRORS.md` is generated from this table, and a test provokes every code.
 */
export const errorTable = {
  // Channels
  CHANNEL_FULL: {
    answer: "retry",
    says: "The channel had no room for the batch within keep-alive.",
    todo: "Let the sinks catch up, or raise capacity or byteCapacity.",
  },
  CHANNEL_TIMEOUT: {
    answer: "retry",
    says: "The sinks of a direct channel took the batch but had not delivered it within answerTimeout.",
    todo: "Check the sinks and what they deliver to; the sender tries again, and what the sinks still deliver arrives twice.",
  },
  TRANSACTION_TOO_LARGE: {
    answer: "reject",
    says: "One batch holds more events or bytes than one transaction of the channel may.",
    todo: "Lower the sender's batch size, or raise transactionCapacity.",
  },
  CHANNEL_CLOSED: {
    answer: "retry",
    says: "The channel is not open: it has not started, or it is stopping.",
    todo: "Nothing: the sender retries when the agent runs again.",
  },
  CHANNEL_FAILED: {
    answer: "fatal",
    says: "A sync of the channel's log failed; whether the last records are stored is unknown.",
    todo: "Check the disk, then restart the agent: recovery decides from what is stored.",
  },
  CHANNEL_CORRUPT: {
    answer: "retry",
    says: "A record that was once synced does not verify any more. A channel does not start over it; an open one goes on taking puts, gives no events, and is not ready.",
    todo: "Check the disk and memory; keep the directory; see the message for file, offset and range. onCorruption = quarantine sets the range aside and goes on.",
  },
  CHANNEL_DIRECTORY: {
    answer: "fatal",
    says: "A channel directory is missing, foreign, or does not belong to this channel.",
    todo: "Mount the disk or correct dataDirs; never delete a channel directory that holds events.",
  },
  CHANNEL_FORMAT: {
    answer: "fatal",
    says: "A channel directory holds something that this version of Millrace cannot read.",
    todo: "Run the version that wrote it, or drain it there first.",
  },
  CHANNEL_LOCKED: {
    answer: "fatal",
    says: "Another agent holds the channel's directory.",
    todo: "Stop the other agent, or give each channel directories of its own.",
  },
  KEY_MISSING: {
    answer: "fatal",
    says: "A key that a file channel is to encrypt with, or that one of its segments is encrypted with, is not there.",
    todo: "Configure encryption.keyProvider so that it has the key the message names; without it the events cannot be read.",
  },
  KEY_INVALID: {
    answer: "fatal",
    says: "A key file, or a key store, does not hold a key that can be used.",
    todo: "Correct what the message names: a key has 16, 24 or 32 bytes and is readable by the agent's user alone.",
  },
  KEY_WRONG: {
    answer: "fatal",
    says: "The key of that name is not the one that a segment was encrypted with.",
    todo: "Bring back the key that had the name when the segment was written; a new key needs a new name.",
  },
  DISK_FULL: {
    answer: "retry",
    says: "The disk has no room beyond what is kept back for acknowledgements.",
    todo: "Free space, or let the sinks drain: a full disk still drains.",
  },
  WRITE_FAILED: {
    answer: "retry",
    says: "A write to disk failed before anything was promised.",
    todo: "Check the disk; the batch was rolled back and is tried again.",
  },
  DATABASE_UNAVAILABLE: {
    answer: "retry",
    says: "The database of a jdbc channel cannot be reached, or its connection was lost; whether a put under way is stored is unknown.",
    todo: "Check the server and the network. The channel connects again by itself; a put that was told this is tried again by its sender.",
  },
  DATABASE_FAILED: {
    answer: "retry",
    says: "The database of a jdbc channel answered with an error; nothing of the transaction is stored.",
    todo: "See the message; the batch is tried again.",
  },
  DATABASE_REFUSED: {
    answer: "fatal",
    says: "The database of a jdbc channel does not let the agent in: user, password, database, rights or tables.",
    todo: "Correct what the message names.",
  },
  DATABASE_DRIVER_MISSING: {
    answer: "fatal",
    says: "No driver for the channel's database can be loaded.",
    todo: "See the message for what is missing and how to get it.",
  },
  KAFKA_PARTITION_INVALID: {
    answer: "reject",
    says: "An event names a partition that is no number, or that its topic does not have.",
    todo: "Correct the header that partitionIdHeader names, or defaultPartitionId, or give the topic more partitions.",
  },
  KAFKA_RECORD_TOO_LARGE: {
    answer: "reject",
    says: "An event is larger than one request to Kafka may be, or than its topic takes.",
    todo: "Raise max.request.size here and max.message.bytes of the topic, or send smaller events.",
  },
  KAFKA_REFUSED: {
    answer: "retry",
    says: "Kafka refuses what was asked for: by its authorization, its configuration, or its version.",
    todo: "See the message for what it refused; it is tried again.",
  },
  KAFKA_UNAVAILABLE: {
    answer: "retry",
    says: "No Kafka broker answered in time, or not the one that is needed.",
    todo: "Check kafka.bootstrap.servers, and that the brokers are up; it is tried again, and what was stored in part comes twice.",
  },
  // The event and its bytes
  EVENT_MALFORMED: {
    answer: "reject",
    says: "The bytes are not the Avro binary of a list of Flume events.",
    todo: "Correct the sender; nothing of the batch was stored.",
  },
  EVENT_REJECTED: {
    answer: "reject",
    says: "The event can never be delivered by this sink.",
    todo: "See the message for the reason.",
  },
  EVENT_LOOP: {
    answer: "reject",
    says: "An event has passed this source before: agents are wired in a ring.",
    todo: "Take one hop out of the ring that the message names; until then the sender keeps the events.",
  },
  // The wires
  FRAME_MALFORMED: {
    answer: "reject",
    says: "A peer sent bytes that break the framing; its connection was closed.",
    todo: "Check that the peer speaks this protocol, without TLS or compression we do not expect.",
  },
  FRAME_TOO_LARGE: {
    answer: "reject",
    says: "A peer sent a message over the frame limit; its connection was closed.",
    todo: "Lower the peer's batch size, or raise maxFrameBytes.",
  },
  CALL_MALFORMED: {
    answer: "reject",
    says: "A peer's call is none of Flume's; it was answered with an error and not processed.",
    todo: "Check that the peer is a Flume or Millrace sink or client.",
  },
  RPC_CONNECT_FAILED: {
    answer: "retry",
    says: "No connection to the next hop.",
    todo: "Check host, port and that the next agent is up; delivery is retried.",
  },
  RPC_TLS_FAILED: {
    answer: "retry",
    says: "No TLS with the next hop: one of the two does not accept the other's certificate, protocols or ciphers, or one of them has no TLS.",
    todo: "See the message for the certificate and the reason; delivery is retried, with the files read again when they change.",
  },
  RPC_CONNECTION_LOST: {
    answer: "retry",
    says: "The connection to the next hop ended while a batch was in flight.",
    todo: "Nothing: the batch was rolled back and is sent again; it may arrive twice.",
  },
  RPC_TIMEOUT: {
    answer: "retry",
    says: "The next hop did not answer within the request timeout.",
    todo: "Check the next hop's channel and disk; the batch is sent again and may arrive twice.",
  },
  RPC_STATUS_FAILED: {
    answer: "retry",
    says: "The next hop answered FAILED: it did not store the batch.",
    todo: "Check the next hop's channel: it is full or failing.",
  },
  RPC_SYSTEM_ERROR: {
    answer: "retry",
    says: "The next hop answered with a system error.",
    todo: "See the next hop's log for the cause.",
  },
  RPC_REPLY_MALFORMED: {
    answer: "retry",
    says: "The next hop's reply cannot be read, or belongs to no request; the connection was closed.",
    todo: "Check what listens on that port; the batch is sent again and may arrive twice.",
  },
  RPC_HANDSHAKE_FAILED: {
    answer: "retry",
    says: "The peer's handshake is not one of Flume's protocol.",
    todo: "Check that the port is an Avro source.",
  },
  // Discovery
  DISCOVERY_FAILED: {
    answer: "retry",
    says: "DNS or Consul gave no answer, or named nobody; what was last known is kept.",
    todo: "Check the name, the name server or the Consul agent in the message; it is asked again.",
  },
  REGISTRATION_FAILED: {
    answer: "retry",
    says: "Consul did not take, or lost, the registration of a source; the source takes events all the same.",
    todo: "Check the Consul agent's address and the token in the message; it is tried again.",
  },
  RPC_HOSTS_UNAVAILABLE: {
    answer: "retry",
    says: "None of several hosts took a batch: each failed, is left out for a while, or none is known.",
    todo: "See the message for each host's last error; the batch is sent again.",
  },
  RPC_CLIENT_CLOSED: {
    answer: "retry",
    says: "An RPC client was used after it was closed.",
    todo: "Make another client; nothing of the batch was sent.",
  },
  // Kubernetes
  KUBERNETES_REFUSED: {
    answer: "retry",
    says: "The Kubernetes API server does not let the agent see the pods of its node, or it cannot be asked without the agent's token.",
    todo: "Give the agent's service account what the message names; events go on without metadata, and it is asked again.",
  },
  KUBERNETES_UNAVAILABLE: {
    answer: "retry",
    says: "The Kubernetes API server gave no answer, or none that can be used.",
    todo: "Check the address and the network in the message; events go on without metadata, and it is asked again.",
  },
  // Sinks and groups
  SINK_GROUP_UNAVAILABLE: {
    answer: "retry",
    says: "Every member of a sink group failed or is penalised.",
    todo: "See each member's last error; the batch stays in the channel.",
  },
  SINK_WRITE_FAILED: {
    answer: "retry",
    says: "A sink could not write to its store.",
    todo: "See the cause; the batch stays in the channel and is tried again.",
  },
  // Sources over files
  FILE_CHANGED: {
    answer: "reject",
    says: "A spooled file changed after it was opened; it was set aside and the rest go on.",
    todo: "Move only finished files into the spool directory; see the message for the file.",
  },
  TARGET_EXISTS: {
    answer: "reject",
    says: "The name a finished file should get exists already; the file was set aside.",
    todo: "Remove or rename one of the two files.",
  },
  UNDECODABLE: {
    answer: "reject",
    says: "A file's bytes are not text of its inputCharset and decodeErrorPolicy is FAIL.",
    todo: "Correct inputCharset, or choose decodeErrorPolicy REPLACE or IGNORE.",
  },
  READ_FAILED: {
    answer: "retry",
    says: "A file or directory could not be read.",
    todo: "Check that it exists and that the agent may read it.",
  },
  POSITION_FILE_INVALID: {
    answer: "fatal",
    says: "The position file is not the JSON that Flume writes.",
    todo: "Restore it, or move it away to read every file from its start.",
  },
  // Start-up
  PERMISSION_DENIED: {
    answer: "fatal",
    says: "A file or directory may not be used by this user.",
    todo: "Give the agent's user the permission named in the message.",
  },
  PATH_MISSING: {
    answer: "fatal",
    says: "A file or directory named in the configuration does not exist.",
    todo: "Create it, or correct the property.",
  },
  HOLD_LOCKED: {
    answer: "fatal",
    says: "Another source of this node holds its logs in the same holdDirectory.",
    todo: "Stop the other agent, or give each source a holdDirectory of its own.",
  },
  PORT_IN_USE: {
    answer: "fatal",
    says: "The port or the Unix socket to listen on is taken: something answers there.",
    todo: "Stop the other process, or choose another port, or another path for the socket.",
  },
  LISTEN_FAILED: {
    answer: "fatal",
    says: "The port or the Unix socket to listen on cannot be used.",
    todo: "Correct what the message names: bind and port, or the socket's path, whose directory must be there and be the agent's to write.",
  },
  TLS_STORE_INVALID: {
    answer: "fatal",
    says: "A keystore or truststore cannot be used: the file, its password, its type, or a certificate in it.",
    todo: "Correct what the message names. A file that goes bad while the agent runs is not taken: the old one stays in use.",
  },
  TLS_HANDSHAKE_FAILED: {
    answer: "reject",
    says: "A client and this server did not come to terms about TLS or compression; its connection was closed.",
    todo: "See the message for what each side seems to be set to, and for the certificate and the reason.",
  },
  CONFIG_INVALID: {
    answer: "fatal",
    says: "The configuration has problems; each is listed with its file, line and property.",
    todo: "Correct them; `millrace check` shows them without starting.",
  },
  START_ABORTED: {
    answer: "retry",
    says: "Starting was given up before the component was usable.",
    todo: "Nothing: the agent was told to stop while it started.",
  },
  UNEXPECTED: {
    answer: "retry",
    says: "An error with no code of ours; its cause is attached.",
    todo: "Report it with the log line: it should have a code.",
  },
} as const satisfies Record<string, ErrorRow>;

export type Answer = "retry" | "reject" | "fatal";
export interface ErrorRow {
  readonly answer: Answer;
  readonly says: string;
  readonly todo: string;
}
export type ErrorCode = keyof typeof errorTable;
