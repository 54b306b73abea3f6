/** For the tests of this folder: messages of Flume 0.9 as the `thrift` library writes them. */
import thrift from "thrift";

const { Thrift, TBinaryProtocol, TBufferedTransport } = thrift;
const { Type, MessageType } = Thrift;
type Protocol = InstanceType<typeof TBinaryProtocol>;

export interface ThriftOgEvent {
  readonly timestamp?: bigint;
  readonly priority?: number;
  readonly body?: Buffer;
  readonly nanos?: bigint;
  readonly host?: string;
  readonly fields?: readonly (readonly [string, Buffer])[];
}

export function libraryOgAppend(event: ThriftOgEvent): Buffer {
  return written((output) => {
    output.writeMessageBegin("append", MessageType.ONEWAY, 1);
    output.writeStructBegin("args");
    output.writeFieldBegin("evt", Type.STRUCT, 1);
    writeEvent(output, event);
    output.writeFieldEnd();
    output.writeFieldStop();
    output.writeStructEnd();
    output.writeMessageEnd();
  });
}

/** A call without arguments. */
export function libraryOgCall(name: string, sequence: number): Buffer {
  return written((output) => {
    output.writeMessageBegin(name, MessageType.CALL, sequence);
    output.writeStructBegin("args");
    output.writeFieldStop();
    output.writeStructEnd();
    output.writeMessageEnd();
  });
}

function writeEvent(output: Protocol, event: ThriftOgEvent): void {
  output.writeStructBegin("ThriftFlumeEvent");
  const field = (type: number, id: number, write: (() => void) | false): void => {
    if (write === false) return;
    output.writeFieldBegin("", type, id);
    write();
    output.writeFieldEnd();
  };
  const { timestamp, priority, body, nanos, host, fields } = event;
  field(Type.I64, 1, timestamp !== undefined && (() => writeI64(output, timestamp)));
  field(Type.I32, 2, priority !== undefined && (() => output.writeI32(priority)));
  field(Type.STRING, 3, body !== undefined && (() => output.writeBinary(body)));
  field(Type.I64, 4, nanos !== undefined && (() => writeI64(output, nanos)));
  field(Type.STRING, 5, host !== undefined && (() => output.writeString(host)));
  const writeFields = (): void => {
    output.writeMapBegin(Type.STRING, Type.STRING, fields?.length ?? 0);
    for (const [name, value] of fields ?? []) {
      output.writeString(name);
      output.writeBinary(value);
    }
    output.writeMapEnd();
  };
  field(Type.MAP, 6, fields !== undefined && writeFields);
  output.writeFieldStop();
  output.writeStructEnd();
}

function writeI64(output: Protocol, value: bigint): void {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  output.writeI64(new thrift.Int64(bytes) as never);
}

function written(write: (output: Protocol) => void): Buffer {
  const parts: Buffer[] = [];
  const transport = new TBufferedTransport(undefined, (bytes) => parts.push(bytes as Buffer));
  const output = new TBinaryProtocol(transport);
  write(output);
  output.flush();
  return Buffer.concat(parts);
}
