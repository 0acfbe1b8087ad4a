import { assertEquals, test } from "../../harness.ts";
import { philox4x32 } from "../../../kernels/philox.ts";

/** The philox4x32 10 lines of `kat_vectors` in the authors' Random123 library: counter, key, words. */
const KNOWN_ANSWERS = [
  "00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
  "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd",
  "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1",
];

test("philox4x32() gives the known answers of Random123", () => {
  for (const line of KNOWN_ANSWERS) {
    const [c0, c1, c2, c3, k0, k1, ...words] = line.split(" ").map((word) => parseInt(word, 16));
    const out = new Uint32Array(4);
    philox4x32([k0, k1], [c0, c1, c2, c3], out);
    assertEquals([...out], words);
  }
});

test("philox4x32() writes four words at the given place and takes signed words", () => {
  const out = new Uint32Array(6);
  philox4x32([-1, -1], [-1, -1, -1, -1], out, 1);
  assertEquals([...out], [0, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd, 0]);
});
