import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";

/** What the server does with a question: records, an empty answer, an error, or nothing at all. */
export type DnsAnswer = DnsRecords | "NXDOMAIN" | "SERVFAIL" | "silence";

export interface DnsRecords {
  /** A and AAAA records, by the form of the address. */
  readonly addresses?: readonly string[];
  readonly srv?: readonly DnsSrvRecord[];
}

export interface DnsSrvRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/**
 * A name server on 127.0.0.1 over UDP, which answers as it is told (RFC 1035):
 *
 *     header    id:2 flags:2 questions:2 answers:2 authority:2 additional:2
 *     question  (length:1 label)* 0:1 type:2 class:2
 *     answer    name:2 (a pointer to the question's) type:2 class:2 ttl:4 length:2 data
 */
export interface DnsServer {
  /** For `?server=`: "127.0.0.1:40053". */
  readonly address: string;
  /** Questions that came, answered or not. */
  readonly questions: number;
  /** From now on; a name that was never set is NXDOMAIN. */
  set(name: string, answer: DnsAnswer): void;
  close(): Promise<void>;
}

const types = { A: 1, SRV: 33, AAAA: 28 } as const;
const codes = { NXDOMAIN: 3, SERVFAIL: 2 } as const;
const headerBytes = 12;
const pointerToQuestion = 0xc00c;

export async function createDnsServer(): Promise<DnsServer> {
  const answers = new Map<string, DnsAnswer>();
  const socket = createSocket("udp4");
  let questions = 0;
  socket.on("message", (message: Buffer, peer: RemoteInfo) => {
    const question = readQuestion(message);
    if (question === undefined) return;
    questions++;
    const answer = answers.get(question.name) ?? "NXDOMAIN";
    if (answer !== "silence")
      socket.send(encodeReply(message, question, answer), peer.port, peer.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  let closed: Promise<void> | undefined;

  return {
    address: `127.0.0.1:${port}`,
    get questions() {
      return questions;
    },
    set(name, answer) {
      answers.set(name.toLowerCase(), answer);
    },
    close() {
      closed ??= new Promise((resolve) => socket.close(resolve));
      return closed;
    },
  };
}

interface Question {
  readonly name: string;
  readonly type: number;
  /** Of the question's bytes, behind the header. */
  readonly length: number;
}

function readQuestion(message: Buffer): Question | undefined {
  const labels: string[] = [];
  let at = headerBytes;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63 || at + length + 5 > message.length) return undefined;
    at++;
    if (length === 0) break;
    labels.push(message.toString("latin1", at, at + length));
    at += length;
  }
  const name = labels.join(".").toLowerCase();
  return { name, type: message.readUInt16BE(at), length: at + 4 - headerBytes };
}

function encodeReply(
  message: Buffer,
  { type, length }: Question,
  answer: Exclude<DnsAnswer, "silence">,
): Buffer {
  const records = typeof answer === "string" ? [] : encodeRecords(type, answer);
  const header = Buffer.alloc(headerBytes);
  message.copy(header, 0, 0, 2);
  // A response, recursion asked for and available, and the code.
  header.writeUInt16BE(0x8180 | (typeof answer === "string" ? codes[answer] : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  const question = message.subarray(headerBytes, headerBytes + length);
  return Buffer.concat([header, question, ...records.map((data) => encodeRecord(type, data))]);
}

function encodeRecords(type: number, { addresses = [], srv = [] }: DnsRecords): Buffer[] {
  if (type === types.SRV) return srv.map(encodeSrv);
  if (type === types.A) {
    const v4 = addresses.filter((address) => !isIPv6(address));
    return v4.map((address) => Buffer.from(address.split(".").map(Number)));
  }
  return type === types.AAAA ? addresses.filter(isIPv6).map(encodeIPv6) : [];
}

function encodeRecord(type: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(12);
  fixed.writeUInt16BE(pointerToQuestion, 0);
  fixed.writeUInt16BE(type, 2);
  fixed.writeUInt16BE(1, 4);
  fixed.writeUInt16BE(data.length, 10);
  return Buffer.concat([fixed, data]);
}

function encodeSrv({ name, port, priority, weight }: DnsSrvRecord): Buffer {
  const fixed = Buffer.alloc(6);
  fixed.writeUInt16BE(priority, 0);
  fixed.writeUInt16BE(weight, 2);
  fixed.writeUInt16BE(port, 4);
  const labels = name.split(".").filter((label) => label !== "");
  const parts = labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  return Buffer.concat([fixed, ...parts, Buffer.from([0])]);
}

function encodeIPv6(address: string): Buffer {
  const [head = "", tail] = address.split("::");
  const words = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((word) => parseInt(word, 16));
  const before = words(head);
  const after = words(tail ?? "");
  const gap = new Array<number>(8 - before.length - after.length).fill(0);
  const bytes = Buffer.alloc(16);
  [...before, ...gap, ...after].forEach((word, i) => bytes.writeUInt16BE(word, i * 2));
  return bytes;
}
