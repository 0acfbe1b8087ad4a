import {
  add,
  attention,
  type Device,
  DTypeError,
  mul,
  noGrad,
  reshape,
  ScopeError,
  type Tensor,
} from "../../engine/mod.ts";
import {
  assert,
  assertEquals,
  assertRejects,
  assertThrows,
  gpuTest,
  OWN_DEVICE,
} from "../harness.ts";

/** Live buffers after everything recorded has run. */
async function liveBuffers(device: Device): Promise<number> {
  await device.sync();
  return device.memory.liveBuffers;
}

gpuTest(
  "tidy() keeps the tensors it returns, at any depth, and releases the rest",
  async (device) => {
    const x = device.tensor([1, 2]);
    const before = await liveBuffers(device);
    let lost: Tensor | undefined;
    const kept = device.tidy(() => {
      lost = add(x, 1);
      return {
        a: add(x, 10),
        list: [add(x, 20), { deep: [add(lost, 30)] }],
        text: "x",
        none: null,
      };
    });
    assertEquals(await liveBuffers(device) - before, 3);
    const { a, list } = kept;
    const [b, { deep: [c] }] = list as [Tensor, { deep: Tensor[] }];
    assertEquals(await a.data(), Float32Array.of(11, 12));
    assertEquals(await b.data(), Float32Array.of(21, 22));
    assertEquals(await c.data(), Float32Array.of(32, 33));
    assertThrows(() => lost!.data(), ScopeError);
    [a, b, c].forEach((tensor) => tensor.dispose());
    assertEquals(await liveBuffers(device), before);
  },
  OWN_DEVICE,
);

gpuTest("what an inner tidy() returns belongs to the outer scope", async (device) => {
  const x = device.tensor([1]);
  const before = await liveBuffers(device);
  let inner: Tensor | undefined;
  const y = device.tidy(() => {
    inner = device.tidy(() => add(x, 1), "inner");
    return add(inner, 1);
  }, "outer");
  assertEquals(await y.item(), 3);
  assertThrows(() => inner!.item(), ScopeError, 'the end of scope "outer"');
  assertEquals(await liveBuffers(device) - before, 1);
}, OWN_DEVICE);

gpuTest("a released tensor's error names it, its scope and the way out", async (device) => {
  const x = device.tensor([[1, 2, 3]]);
  let y: Tensor | undefined;
  await device.step(() => void (y = mul(x, 2)));
  const error = assertThrows(
    () => add(y!, 1),
    ScopeError,
    'was released by the end of scope "step"',
  );
  assert(error.message.includes(`Tensor ${y!.describe()}`), error.message);
  assert(error.message.includes("f32[1, 3]"), error.message);
  assert(error.message.includes("return it from the scope"), error.message);
  const z = add(x, 1);
  z.dispose();
  z.dispose(); // a second time is nothing
  assertThrows(() => z.data(), ScopeError, "was released by dispose()");
  assertThrows(() => device.write(z, new Float32Array(3)), ScopeError, "was released");
  assertThrows(() => device.copy(x, z), ScopeError, "was released");
});

gpuTest("a returned view keeps the memory it shares", async (device) => {
  const view = device.tidy(() => reshape(device.tensor([[1, 2], [3, 4]]), [4]));
  assertEquals(await view.data(), Float32Array.of(1, 2, 3, 4));
});

gpuTest("keep() lets a tensor outlive every scope", async (device) => {
  let kept: Tensor | undefined;
  await device.step(() =>
    device.tidy(() => {
      kept = device.keep(device.tensor([7]));
    })
  );
  assertEquals(await kept!.item(), 7);
  kept!.dispose();
});

gpuTest("a step that throws releases what it made, and the device goes on", async (device) => {
  const x = device.tensor([1]);
  const before = await liveBuffers(device);
  let made: Tensor | undefined;
  await assertRejects(
    () =>
      device.step(() => {
        made = add(x, 1);
        throw new RangeError("user code");
      }),
    RangeError,
    "user code",
  );
  assertThrows(() => made!.item(), ScopeError, 'scope "step"');
  assertEquals(await liveBuffers(device), before);
  assertEquals(await device.step(() => add(x, 1).item()), 2);
}, OWN_DEVICE);

gpuTest("a using scope releases at the end of its block", async (device) => {
  const x = device.tensor([1]);
  const before = await liveBuffers(device);
  let y: Tensor | undefined;
  let read: Promise<number>;
  {
    using scope = device.scope("block");
    y = add(x, 1);
    read = y.item();
    assert(scope.open);
  }
  assertEquals(await read, 2, "a read asked for inside");
  assertThrows(() => y!.item(), ScopeError, 'the end of scope "block"');
  assertEquals(await liveBuffers(device), before);
}, OWN_DEVICE);

gpuTest("a using scope left open across an await rejects the next awaited call", async (device) => {
  const x = device.tensor([1]);
  await (async () => {
    using _scope = device.scope("too long");
    const y = add(x, 1);
    await Promise.resolve();
    assertThrows(() => y.item(), ScopeError, "too long");
  })();
  await assertRejects(() => device.step(() => 1), ScopeError, 'Scope "too long" was still open');
  assertEquals(await device.step(() => add(x, 1).item()), 2);
});

gpuTest("steps, tidy() and noGrad() refuse async functions", async (device) => {
  const x = device.tensor([1]);
  const before = await liveBuffers(device);
  const asynchronous = async () => {
    const y = add(x, 1);
    return await y.item();
  };
  await assertRejects(() => device.step(asynchronous), DTypeError, "needs a synchronous function");
  assertThrows(() => device.tidy(asynchronous), DTypeError, "needs a synchronous function");
  assertThrows(() => noGrad(asynchronous), DTypeError, "needs a synchronous function");
  assertEquals(await device.step(() => add(x, 1).item()), 2);
  await device.sync();
  assert(
    device.memory.liveBuffers <= before + 1,
    "noGrad() runs outside a scope: one tensor may wait for collection",
  );
}, OWN_DEVICE);

gpuTest("ops inside backward and noGrad belong to the scope too", async (device) => {
  const x = device.tensor(new Float32Array(2 * 5 * 24).fill(0.5), [2, 5, 24], {
    requiresGrad: true,
  });
  await device.step(() => attention(x, 2).backward(device.full([2, 5, 8], 1)));
  const before = await liveBuffers(device); // x and its gradient, which stays in place
  for (let i = 0; i < 3; i++) {
    await device.step(() => {
      attention(x, 2).backward(device.full([2, 5, 8], 1));
      noGrad(() => add(x, 1));
      x.grad = null;
    });
  }
  assertEquals(await liveBuffers(device), before);
}, OWN_DEVICE);
