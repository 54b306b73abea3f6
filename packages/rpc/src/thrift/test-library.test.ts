/** For the tests of this folder: Flume's service as the `thrift` library speaks it, both ends. */
import type { Event } from "@millrace/core";
import { once } from "node:events";
import type { AddressInfo, Server } from "node:net";
import type { TestContext } from "node:test";
import thrift from "thrift";
import type { Request } from "./framed-service.ts";
import { slackOf } from "./frame.ts";
import { statuses, type ThriftProtocol, type ThriftStatus } from "./protocol.ts";

import { readRequest } from "./server-session.ts";

/** Reads a message as a server does that got it in a frame. */
export function readMessage(protocol: ThriftProtocol, message: Buffer): Request {
  const start = slackOf(message.length);
  return readRequest(protocol, Buffer.concat([Buffer.alloc(start), message]), start);
}

const { Thrift, TBinaryProtocol, TCompactProtocol, TFramedTransport } = thrift;
const { Type, MessageType } = Thrift;

export type Protocol = InstanceType<typeof TBinaryProtocol>;

export const libraryProtocols = { compact: TCompactProtocol, binary: TBinaryProtocol };

export interface LibraryEvent {
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

/** What the library writes, in its frame. */
export function libraryFrame(protocol: ThriftProtocol, write: (output: Protocol) => void): Buffer {
  const parts: Buffer[] = [];
  const transport = new TFramedTransport(undefined, (bytes) => parts.push(bytes as Buffer));
  const output = new libraryProtocols[protocol](transport) as Protocol;
  write(output);
  output.flush();
  return Buffer.concat(parts);
}

export function writeAppend(output: Protocol, sequence: number, event: LibraryEvent): void {
  output.writeMessageBegin("append", MessageType.CALL, sequence);
  output.writeStructBegin("args");
  output.writeFieldBegin("event", Type.STRUCT, 1);
  writeEvent(output, event);
  output.writeFieldEnd();
  output.writeFieldStop();
  output.writeStructEnd();
  output.writeMessageEnd();
}

export function writeAppendBatch(
  output: Protocol,
  sequence: number,
  events: readonly LibraryEvent[],
): void {
  output.writeMessageBegin("appendBatch", MessageType.CALL, sequence);
  output.writeStructBegin("args");
  output.writeFieldBegin("events", Type.LIST, 1);
  output.writeListBegin(Type.STRUCT, events.length);
  for (const event of events) writeEvent(output, event);
  output.writeListEnd();
  output.writeFieldEnd();
  output.writeFieldStop();
  output.writeStructEnd();
  output.writeMessageEnd();
}

function writeEvent(output: Protocol, { headers, body }: LibraryEvent): void {
  output.writeStructBegin("ThriftFlumeEvent");
  output.writeFieldBegin("headers", Type.MAP, 1);
  output.writeMapBegin(Type.STRING, Type.STRING, headers.length);
  for (const [name, value] of headers) {
    output.writeString(name);
    output.writeString(value);
  }
  output.writeMapEnd();
  output.writeFieldEnd();
  output.writeFieldBegin("body", Type.STRING, 2);
  output.writeBinary(body);
  output.writeFieldEnd();
  output.writeFieldStop();
  output.writeStructEnd();
}

export function readEvent(input: Protocol): LibraryEvent {
  const headers: [string, string][] = [];
  let body = Buffer.alloc(0);
  eachField(input, (id) => {
    if (id === 1) {
      const { size } = input.readMapBegin();
      for (let i = 0; i < size; i++) headers.push([input.readString(), input.readString()]);
      input.readMapEnd();
    } else {
      body = Buffer.from(input.readBinary());
    }
  });
  return { headers, body };
}

function readEvents(input: Protocol): LibraryEvent[] {
  const { size } = input.readListBegin();
  const events: LibraryEvent[] = [];
  for (let i = 0; i < size; i++) events.push(readEvent(input));
  input.readListEnd();
  return events;
}

export function eachField(input: Protocol, read: (id: number) => void): void {
  input.readStructBegin();
  for (;;) {
    const { ftype, fid } = input.readFieldBegin();
    if (ftype === Type.STOP) break;
    read(fid);
    input.readFieldEnd();
  }
  input.readStructEnd();
}

/** The events as the library is given them. */
export function libraryEvents(events: Iterable<Event>): LibraryEvent[] {
  return Array.from(events, ({ headers, body }) => ({ headers: [...headers], body }));
}

type Settle = (error: Error | null, status?: number) => void;

/** What a compiler would generate for Flume's service: the side that calls. */
class ServiceClient {
  readonly _reqs: Record<number, Settle> = {};
  sequence = 0;
  readonly #transport: unknown;
  readonly #protocol: new (transport: never) => Protocol;

  constructor(transport: unknown, protocol: new (transport: never) => Protocol) {
    this.#transport = transport;
    this.#protocol = protocol;
  }

  send(write: (output: Protocol, sequence: number) => void): Promise<ThriftStatus> {
    const sequence = ++this.sequence;
    return new Promise((resolve, reject) => {
      this._reqs[sequence] = (error, status) => {
        if (error !== null) reject(error);
        else resolve(statuses[status ?? -1] as ThriftStatus);
      };
      const output = new this.#protocol(this.#transport as never);
      write(output, sequence);
      output.flush();
    });
  }

  recv_append(input: Protocol, type: number, sequence: number): void {
    const settle = this._reqs[sequence] as Settle;
    delete this._reqs[sequence];
    if (type === Number(MessageType.EXCEPTION)) {
      const error = new Thrift.TApplicationException();
      error.read(input);
      input.readMessageEnd();
      settle(error);
      return;
    }
    let status: number | undefined;
    eachField(input, () => {
      status = input.readI32();
    });
    input.readMessageEnd();
    settle(null, status);
  }

  recv_appendBatch(input: Protocol, type: number, sequence: number): void {
    this.recv_append(input, type, sequence);
  }
}

export interface LibraryClient {
  append(event: LibraryEvent): Promise<ThriftStatus>;
  appendBatch(events: readonly LibraryEvent[]): Promise<ThriftStatus>;
  /** Any other message. */
  send(write: (output: Protocol, sequence: number) => void): Promise<ThriftStatus>;
}

export function createLibraryClient(
  test: TestContext,
  port: number,
  protocol: ThriftProtocol,
): LibraryClient {
  const connection = thrift.createConnection("127.0.0.1", port, {
    transport: TFramedTransport,
    protocol: libraryProtocols[protocol],
  });
  connection.on("error", () => {});
  test.after(() => connection.destroy());
  const client = thrift.createClient(ServiceClient as never, connection) as ServiceClient;
  return {
    append: (event) => client.send((output, sequence) => writeAppend(output, sequence, event)),
    appendBatch: (events) =>
      client.send((output, sequence) => writeAppendBatch(output, sequence, events)),
    send: (write) => client.send(write),
  };
}

/** What a compiler would generate for Flume's service: the side that is called. */
class Processor {
  readonly #handle: (events: LibraryEvent[], name: string) => ThriftStatus;

  constructor(handle: (events: LibraryEvent[], name: string) => ThriftStatus) {
    this.#handle = handle;
  }

  process(input: Protocol, output: Protocol): void {
    const { fname, rseqid } = input.readMessageBegin();
    let events: LibraryEvent[] = [];
    eachField(input, () => {
      events = fname === "append" ? [readEvent(input)] : readEvents(input);
    });
    input.readMessageEnd();
    try {
      const status = statuses.indexOf(this.#handle(events, fname));
      output.writeMessageBegin(fname, MessageType.REPLY, rseqid);
      output.writeStructBegin("result");
      output.writeFieldBegin("success", Type.I32, 0);
      output.writeI32(status);
      output.writeFieldEnd();
      output.writeFieldStop();
      output.writeStructEnd();
    } catch (error) {
      output.writeMessageBegin(fname, MessageType.EXCEPTION, rseqid);
      const { UNKNOWN } = Thrift.TApplicationExceptionType;
      new Thrift.TApplicationException(UNKNOWN, (error as Error).message).write(output);
    }
    output.writeMessageEnd();
    output.flush();
  }
}

export async function startLibraryServer(
  test: TestContext,
  protocol: ThriftProtocol,
  handle: (events: LibraryEvent[], name: string) => ThriftStatus,
): Promise<number> {
  const processor = new Processor(handle);
  const made = thrift.createServer(
    function (this: unknown, handler: never) {
      return handler;
    } as never,
    processor as never,
    { transport: TFramedTransport, protocol: libraryProtocols[protocol] } as never,
  ) as unknown as Server;
  made.listen(0, "127.0.0.1");
  await once(made, "listening");
  test.after(() => made.close());
  return (made.address() as AddressInfo).port;
}
