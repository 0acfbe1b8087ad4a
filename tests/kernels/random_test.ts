import { run } from "../../engine/dispatch.ts";
import { philox4x32 } from "../../kernels/philox.ts";
import { defineProgram } from "../../kernels/kernel.ts";
import { dropoutParams, PHILOX, randomWords } from "../../kernels/random.ts";
import { wgsl } from "../../kernels/wgsl.ts";
import { assert, assertEquals, gpuTest, test } from "../harness.ts";

/** The philox4x32 10 lines of `kat_vectors` in the authors' Random123 library: counter, key, words. */
const KNOWN_ANSWERS = [
  "00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
  "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd",
  "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1",
];

const program = defineProgram({
  name: "philox_known_answers",
  params: { blocks: "u32" },
  bindings: { inputs: "read u32", y: "write u32" },
  workgroupSize: 1,
  code: wgsl`
${PHILOX}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3u) {
  let at = 6u * group.x;
  let counter = vec4u(inputs[at], inputs[at + 1u], inputs[at + 2u], inputs[at + 3u]);
  let words = philox4x32(vec2u(inputs[at + 4u], inputs[at + 5u]), counter);
  for (var k = 0u; k < 4u; k++) { y[4u * group.x + k] = words[k]; }
}`,
});

gpuTest("philox4x32 in WGSL gives the known answers of Random123", async (device) => {
  const rows = KNOWN_ANSWERS.map((line) => line.split(" ").map((word) => parseInt(word, 16)));
  const inputs = device.tensor(Uint32Array.from(rows.flatMap((row) => row.slice(0, 6))));
  const y = device.empty([4 * rows.length], "u32");
  run({
    program,
    params: { blocks: rows.length },
    sizes: { inputs: inputs.size, y: y.size },
    workgroups: [rows.length, 1, 1],
    flops: 0,
    bytes: 0,
  }, { inputs, y });
  assertEquals(await y.data(), Uint32Array.from(rows.flatMap((row) => row.slice(6))));
});

gpuTest(
  "random words equal the host's for the same key and counter, beyond 65,535 workgroups too",
  async (device) => {
    const block = device.tensor(Uint32Array.of(0xdeadbeef, 0x12345678, 77, 0));
    const host = new Uint32Array(4);
    for (const [count, call] of [[1, 0], [6, 3], [65_536 * 64 * 4 + 5, 0xffffffff]]) {
      const y = device.empty([count], "u32");
      run(randomWords(count, call), { block, y });
      const words = await y.data();
      for (let k = 0; k < 1000; k++) {
        const i = Math.floor(k * (count - 1) / 999);
        philox4x32([0xdeadbeef, 0x12345678], [Math.floor(i / 4), call, 77, 0], host);
        assertEquals(words[i], host[i % 4]);
      }
    }
  },
);

test("dropoutParams() rounds the threshold to a word and drops everything at p = 1", () => {
  assertEquals(dropoutParams(0.5), { threshold: 2 ** 31, scale: 2 });
  assertEquals(dropoutParams(1), { threshold: 2 ** 32 - 1, scale: 0 });
  assertEquals(dropoutParams(0), { threshold: 0, scale: 1 });
  assert(dropoutParams(1 - 1e-12).threshold < 2 ** 32, "the threshold is no word");
});
