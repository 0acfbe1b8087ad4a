/**
 * Scopes: who owns the memory that ops allocate.
 *
 * A buffer belongs to the scope it was made in and is released when that ends, unless it is returned from it. So user
 * code never counts references. A scope is synchronous: it ends before any other task runs, so the current scope is
 * never another task's. Buffers made outside any scope live until they are disposed of or garbage-collected.
 * @module
 */
import type { VirtualBuffer } from "./buffers.ts";
import { ScopeError } from "./errors.ts";

/** A region of code whose intermediates are released at its end; `using scope = device.scope()`. */
export class Scope implements Disposable {
  /** @internal What it owns. */
  readonly buffers: Set<VirtualBuffer> = new Set();
  #open = true;
  /** @internal */
  constructor(
    /** For messages. */ readonly name: string,
    private readonly close: (scope: Scope) => void,
  ) {}

  /** False after the end. */
  get open(): boolean {
    return this.#open;
  }

  /** Ends the scope; what it owns is released. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.close(this);
  }
}

/** The stack of open scopes of a device. */
export class Scopes {
  #stack: Scope[] = [];
  constructor(private readonly release: (buffer: VirtualBuffer, by: string) => void) {}

  /** The innermost open scope. */
  get current(): Scope | undefined {
    return this.#stack.at(-1);
  }

  /** Opens a scope inside the current one. */
  push(name: string): Scope {
    const scope = new Scope(name, (closing) => {
      while (this.#stack.length > 0) {
        const top = this.#stack.pop()!;
        for (const buffer of top.buffers) this.release(buffer, `the end of scope "${top.name}"`);
        top.buffers.clear();
        if (top === closing) return;
      }
    });
    this.#stack.push(scope);
    return scope;
  }

  /** Ends a scope and hands the buffers in `keep` to the enclosing one (or to nobody). */
  pop(scope: Scope, keep: Iterable<VirtualBuffer>): VirtualBuffer[] {
    const escaped: VirtualBuffer[] = [];
    for (const buffer of keep) {
      if (scope.buffers.delete(buffer)) escaped.push(buffer);
    }
    scope[Symbol.dispose]();
    const parent = this.current;
    if (parent) escaped.forEach((buffer) => parent.buffers.add(buffer));
    return parent ? [] : escaped;
  }

  /** Takes a buffer out of whatever scope owns it: it now lives until it is disposed of. */
  adopt(buffer: VirtualBuffer): boolean {
    return this.#stack.some((scope) => scope.buffers.delete(buffer));
  }

  /** Ends everything; used when a scope was left open across an `await`. */
  abandon(): void {
    const names = this.#stack.map((scope) => `"${scope.name}"`).join(", ");
    this.#stack[0]?.[Symbol.dispose]();
    throw new ScopeError(
      `Scope ${names} was still open when the current task ended. Scopes are synchronous: ` +
        "request reads inside, await them outside.",
    );
  }
}
