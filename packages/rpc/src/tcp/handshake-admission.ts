import { type Clock, yieldToEventLoop } from "@millrace/core";

/** Handshakes that may be under way at one time. */
const handshakesMax = 64;
/** New ones begun before those who are connected have a turn: each costs about a millisecond. */
const startsPerTurn = 4;
/** A handshake that takes longer waits for its peer and costs nothing: the next may begin. */
const leaseMs = 200;

/** Lets a herd of clients that connect at once in one after another. */
export interface HandshakeAdmission {
  /** Resolves when a handshake may begin; call what it gives when the handshake is over. */
  enter(): Promise<() => void>;
  readonly underWay: number;
  readonly waiting: number;
}

export function createHandshakeAdmission(clock: Clock): HandshakeAdmission {
  const queue: ((leave: () => void) => void)[] = [];
  let underWay = 0;
  let pumping = false;

  function begin(admit: (leave: () => void) => void): void {
    underWay++;
    let over = false;
    const leave = (): void => {
      if (over) return;
      over = true;
      lease.cancel();
      underWay--;
      void pump();
    };
    const lease = clock.setTimer(leaseMs, leave);
    admit(leave);
  }

  async function pump(): Promise<void> {
    if (pumping) return;
    pumping = true;
    while (queue.length > 0 && underWay < handshakesMax) {
      for (let i = 0; i < startsPerTurn && underWay < handshakesMax; i++) {
        const next = queue.shift();
        if (next !== undefined) begin(next);
      }
      await yieldToEventLoop();
    }
    pumping = false;
  }

  return {
    enter: () =>
      new Promise((resolve) => {
        queue.push(resolve);
        void pump();
      }),
    get underWay() {
      return underWay;
    },
    get waiting() {
      return queue.length;
    },
  };
}
