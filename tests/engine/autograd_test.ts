import { record } from "../../engine/autograd.ts";
import { run } from "../../engine/dispatch.ts";
import { addInto } from "../../kernels/add_into.ts";
import {
  add,
  type Device,
  exp,
  mul,
  noGrad,
  reshape,
  ScopeError,
  ShapeError,
  sub,
  sum,
  type Tensor,
} from "../../engine/mod.ts";
import {
  assert,
  assertClose,
  assertEquals,
  assertRejects,
  assertThrows,
  gpuTest,
} from "../harness.ts";

/** A leaf that wants a gradient. */
function leaf(device: Device, ...values: number[]): Tensor {
  return device.tensor(values, [values.length], { requiresGrad: true });
}

function gradient(x: Tensor): Promise<ArrayLike<number>> {
  assert(x.grad !== null, "no gradient");
  return x.grad.data();
}

gpuTest("backward() applies the chain rule through several ops", async (device) => {
  const x = leaf(device, 0.5, -1, 2), w = leaf(device, 3, 4, 5);
  await device.step(() => sum(exp(mul(mul(x, x), w))).backward());
  // d/dx exp(w x^2) = 2 w x exp(w x^2)
  const [xs, ws] = [[0.5, -1, 2], [3, 4, 5]];
  const e = xs.map((v, i) => Math.exp(ws[i] * v * v));
  assertClose(await gradient(x), xs.map((v, i) => 2 * ws[i] * v * e[i]), { rtol: 1e-5 });
  assertClose(await gradient(w), xs.map((v, i) => v * v * e[i]), { rtol: 1e-5 });
});

gpuTest("gradients of all uses of a tensor add up, leaf or not", async (device) => {
  const x = leaf(device, 1, 2);
  await device.step(() => {
    const y = mul(x, 3); // used three times, x once more beside it
    sum(add(add(mul(y, y), y), x)).backward();
  });
  // 9 x^2 + 3 x + x
  assertEquals(await gradient(x), Float32Array.of(18 + 4, 36 + 4));
});

gpuTest("an op that takes one tensor twice gives it both gradients", async (device) => {
  const x = leaf(device, 3, -2);
  await device.step(() => sum(mul(x, x)).backward());
  assertEquals(await gradient(x), Float32Array.of(6, -4));
  const y = leaf(device, 3, -2);
  await device.step(() => sum(sub(y, y)).backward());
  assertEquals(await gradient(y), Float32Array.of(0, 0));
});

gpuTest("a node is visited only after all its uses: a diamond of unequal arms", async (device) => {
  const x = leaf(device, 1);
  await device.step(() => {
    const z = mul(x, 2);
    const long = mul(mul(mul(z, 3), 5), 7); // 105 z
    sum(mul(long, z)).backward(); // 105 z^2 = 420 x^2
  });
  assertEquals(await gradient(x), Float32Array.of(840));
});

gpuTest("backward() again adds, also over another graph that shares the leaf", async (device) => {
  const x = leaf(device, 1, 1);
  await device.step(() => {
    const loss = sum(mul(x, 2));
    loss.backward();
    loss.backward();
  });
  assertEquals(await gradient(x), Float32Array.of(4, 4));
  await device.step(() => sum(mul(x, 10)).backward());
  assertEquals(await gradient(x), Float32Array.of(14, 14));
});

gpuTest("a gradient set to null starts anew in the same memory", async (device) => {
  const x = leaf(device, 1, 2);
  await device.step(() => sum(mul(x, 2)).backward());
  const place = x.grad!.storage.buffer;
  x.grad = null;
  await device.step(() => sum(mul(x, 3)).backward());
  assertEquals(await gradient(x), Float32Array.of(3, 3));
  assert(x.grad!.storage.buffer === place);
});

gpuTest("backward() with a given gradient, of a leaf, and of a scalar", async (device) => {
  const x = leaf(device, 1, 2);
  await device.step(() => mul(x, 5).backward(device.tensor([10, 100])));
  assertEquals(await gradient(x), Float32Array.of(50, 500));
  const scalar = device.tensor([4], [], { requiresGrad: true });
  await device.step(() => scalar.backward());
  assertEquals(await gradient(scalar), Float32Array.of(1));
});

gpuTest("noGrad() and detach() cut the graph; inputs that want none get none", async (device) => {
  const x = leaf(device, 1, 2), plain = device.tensor([3, 4]);
  await device.step(() => {
    const cut = noGrad(() => mul(x, 7));
    assert(!cut.requiresGrad && cut.node === null);
    const { node } = mul(x, 7).detach();
    assert(node === null);
    sum(mul(mul(x, plain), mul(x, 7).detach())).backward();
  });
  assertEquals(await gradient(x), Float32Array.of(3 * 7, 4 * 14));
  assert(plain.grad === null);
  noGrad(() =>
    assertThrows(() =>
      noGrad(() => {
        throw new Error("x");
      })
    )
  );
  assert(mul(x, 1).requiresGrad, "noGrad() that throws must not stay on");
});

gpuTest("inputs get gradients when asked", async (device) => {
  const image = device.tensor([[1, 2], [3, 4]], undefined, { requiresGrad: true });
  await device.step(() => sum(mul(reshape(image, [4]), 2)).backward());
  assertEquals(image.grad!.shape, [2, 2]);
  assertEquals(await gradient(image), Float32Array.of(2, 2, 2, 2));
});

gpuTest("backward() says what is wrong", async (device) => {
  const x = leaf(device, 1, 2);
  device.tidy(() => {
    assertThrows(
      () => mul(x, 2).backward(),
      ShapeError,
      "has 2 elements; take its sum() or mean(), or pass the gradient",
    );
    assertThrows(() => mul(x, 2).backward(device.zeros([3])), ShapeError, "[3], needs [2]");
    assertThrows(() => device.tensor([1]).backward(), ScopeError, "requiresGrad");
    assertThrows(() => noGrad(() => sum(x)).backward(), ScopeError, "requiresGrad");
  });
  let late: Tensor | undefined;
  await device.step(() => void (late = sum(exp(x))));
  assertThrows(() => late!.backward(), ScopeError, 'was released by the end of scope "step"');
  await assertRejects(() => device.step(() => late!.backward()), ScopeError, "was released");
});

gpuTest("a chain of 5,000 ops does not exhaust the stack", async (device) => {
  const x = leaf(device, 1);
  await device.step(() => {
    let y = x;
    for (let i = 0; i < 5000; i++) y = reshape(y, i % 2 === 0 ? [1, 1] : [1]);
    y.backward(device.full([1], 3));
  });
  assertEquals(await gradient(x), Float32Array.of(3));
});

gpuTest("an op with two outputs gets null for the one without a gradient", async (device) => {
  const x = leaf(device, 1, 2);
  const seen: boolean[][] = [];
  const twins = (input: Tensor): [Tensor, Tensor] => {
    const [a, b] = noGrad(() => [mul(input, 2), mul(input, 3)]);
    record("twins", {
      inputs: { input },
      outputs: [a, b],
      saved: {},
      backward: ({ dOuts }) => {
        seen.push(dOuts.map((d) => d !== null));
        const [da, db] = dOuts;
        const parts = [da && mul(da, 2), db && mul(db, 3)].filter((part) => part !== null);
        return { input: parts.reduce((p, q) => add(p, q)) };
      },
    });
    return [a, b];
  };
  await device.step(() => sum(twins(x)[1]).backward());
  assertEquals(await gradient(x), Float32Array.of(3, 3));
  await device.step(() => {
    const [a, b] = twins(x);
    sum(add(a, b)).backward();
  });
  assertEquals(await gradient(x), Float32Array.of(8, 8));
  assertEquals(seen, [[false, true], [true, true]]);
});

gpuTest("an op may write a leaf's gradient in place, and is asked for no other", async (device) => {
  const weight = leaf(device, 1, 2), x = device.tensor([5, 6]);
  const asked: unknown[] = [];
  const scaled = (): Tensor => {
    const y = noGrad(() => mul(x, weight));
    record("scaled", {
      inputs: { x, weight },
      outputs: [y],
      saved: { x },
      backward: ({ saved, dOut, needs, target }) => {
        const place = target("weight")!;
        asked.push(needs("x"), target("x"), place.accumulate);
        const dWeight = mul(dOut, saved.x);
        run(addInto(2, place.accumulate), { a: dWeight, y: place.tensor });
        return {};
      },
    });
    return y;
  };
  await device.step(() => sum(add(scaled(), scaled())).backward());
  assertEquals(await gradient(weight), Float32Array.of(10, 12));
  assertEquals(asked, [false, undefined, 0, false, undefined, 1]);
});

gpuTest("a backward that makes a gradient of the wrong shape is named", (device) => {
  const x = leaf(device, 1, 2);
  device.tidy(() => {
    const y = noGrad(() => mul(x, 1));
    record("wrong", {
      inputs: { x },
      outputs: [y],
      saved: {},
      backward: ({ dOut }) => ({ x: reshape(dOut, [2, 1]) }),
    });
    assertThrows(
      () => sum(y).backward(),
      ShapeError,
      'wrong: its backward made a gradient of shape [2, 1] for "x", which has [2]',
    );
  });
});

gpuTest("gradients of empty tensors are empty", async (device) => {
  const x = device.tensor(new Float32Array(0), [0, 3], { requiresGrad: true });
  await device.step(() => mul(x, 2).backward(device.zeros([0, 3])));
  assertEquals(x.grad!.shape, [0, 3]);
  assertEquals((await x.grad!.data()).length, 0);
});
