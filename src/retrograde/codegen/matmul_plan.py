"""How a product of static shape is to be computed: which frame, which register tile, which cache blocks.

A plan is made from shapes, strides and dtype alone. All that decides the order of a sum (dot products or
tiles, number of chains, blocks of k) leaves the width of the vectors out, so a product has the same bits on
every machine with fused multiply-add.

The scheme is that of K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM
TOMS 34(3), 2008, and of the BLIS microkernel (F. Van Zee, R. van de Geijn, ACM TOMS 41(3), 2015), less the
packing of A: with static strides a broadcast costs the same load wherever it reads from.

No product is left to a BLAS. Measured with benchmarks/matmul.py on one core of a Zen 5 (AVX-512, and the same kernels 32 bytes
wide): OpenBLAS 0.3.31 takes 0.9 to 1.0 of the time where m, n and k are all 2048, and 1.0 to 25 times the time of these kernels
everywhere else; it has threads of its own, which would meet ours on the same cores, and its bits depend on their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.errors import UnsupportedError

from .matmul_ir import Lanes

STRAIGHT_LIMIT = 512  # multiply-adds up to which a product is straight-line code
DOT_LIMIT = 4  # rows or columns up to which two operands contiguous along k are multiplied as dot products
LONG_DOT_LIMIT = 8  # the same where k is long
BLOCK = 512  # steps of k in a block, about
ROWS_BYTES = 1 << 20  # bytes of the block of A that every panel of B sweeps: half of a usual L2
NEAR_BYTES = 48 << 10  # bytes of B from which copying its panels pays for 64 rows, even if it is contiguous
MID_BYTES = 512 << 10  # the same for 32 rows
WINDOW_BYTES = 512 << 10  # bytes of C that are held at a time where nobody wants it whole
PACK_A_BYTES = 256 << 10  # bytes of A from which copying it pays, where its steps along k are far apart
FAR_STEP = 1024  # bytes of such a step

Strides = tuple[int, int]


@dataclass(frozen=True)
class MatmulPlan:
    """All that is decided before code is written.

    `swapped` says that C' = B' A' is computed in place of C = A B (m, n, k are those of the product
    computed). `kind` is "straight", "tiles" or "dots". `rows` by `vectors` is the register tile, `width` the
    lanes of a vector, `chains` the number of partial sums of an element, `block` the length of a block of k,
    `strip` the rows of a block of A, `pack_a` and `pack_b` whether strips of A and
    panels of B are copied into scratch, `rows_first` whether a large C of short sums is written row by row, `windowed` whether
    a strip of C is all that is held of it, with B copied whole, once.
    """

    kind: str
    swapped: bool
    m: int
    n: int
    k: int
    a: Strides
    b: Strides
    c: Strides
    itemsize: int
    width: int
    rows: int
    vectors: int
    chains: int
    block: int
    strip: int
    pack_a: bool
    pack_b: bool
    rows_first: bool = False
    windowed: bool = False

    def __str__(self) -> str:
        if self.kind == "straight":
            return "straight code"
        if self.kind == "dots":
            return f"{self.rows} x {self.vectors} dot products at a time"
        parts = [f"tiles of {self.rows} x {self.panel}"]
        parts += ["vectors along the rows"] if self.swapped else []
        parts += [f"k in blocks of {self.block}"] if self.block < self.k else []
        parts += [f"strips of {self.strip} rows"] if self.strip < self.m else []
        packed = [name for name, copied in (("left", self.pack_a), ("right", self.pack_b)) if copied]
        parts += [f"{' and '.join(packed)} operand packed"] if packed else []
        return ", ".join(parts)

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch that packing needs; nothing where B is read in place."""
        left = -(-self.strip // self.rows) * self.slot if self.pack_a else 0
        return (left * self.block + self.left_start) * self.itemsize

    @property
    def left_start(self) -> int:
        """Elements of scratch before the packed strip of A: those of a packed panel of B, or of all of it."""
        if self.windowed and self.pack_b:
            return -(-self.n // self.panel) * self.panel * self.k
        return self.panel * self.block if self.pack_b else 0

    @property
    def slot(self) -> int:
        """Elements from one step of k to the next in a packed tile of A."""
        return next(width for width in (4, 8, 16, 32) if width >= self.rows)

    @property
    def panel(self) -> int:
        """Columns of a full panel of B."""
        return self.vectors * self.width

    @property
    def window(self) -> tuple[int, int]:
        """Rows and columns of C that are held at a time, in its own frame."""
        if self.windowed:
            return min(self.strip, self.m), self.n
        return (self.n, self.m) if self.swapped else (self.m, self.n)

    def lanes(self, columns: int) -> list[Lanes]:
        """Split a panel of `columns` columns into vectors; the last may be partly filled."""
        return [Lanes(start, self.width, min(self.width, columns - start)) for start in range(0, columns, self.width)]


def plan_matmul(
    m: int,
    n: int,
    k: int,
    dtype: Any,
    a_strides: Strides,
    b_strides: Strides,
    c_strides: Strides,
    *,
    vector_bytes: int = 64,
    windowed: bool = False,
) -> MatmulPlan:
    """Plan C[m, n] = A[m, k] @ B[k, n] with static strides; raises `UnsupportedError` for other dtypes.

    `windowed` asks that as little of C is held at a time as makes sense.
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise UnsupportedError(f"matmul kernels multiply float32 or float64, not {dtype}: convert with .astype(np.float32) first")
    a, b, c = tuple(a_strides), tuple(b_strides), tuple(c_strides)
    size = dtype.itemsize
    swapped = _swap(m, n, c) or _narrow(m, n, k, a, size)
    if _dots(m, n, k, a, b, size):
        rows, vectors = _dot_tile(m, n, vector_bytes)
        chains = 1
        while chains < 8 and m * n * chains < 8 and k * size >= 128 * chains:
            chains *= 2
        return MatmulPlan("dots", False, m, n, k, a, b, c, size, 64 // size, rows, vectors, chains, k, m, False, False)
    if swapped:
        m, n, a, b, c = n, m, b[::-1], a[::-1], c[::-1]
    lanes = vector_bytes // size
    width = lanes
    while width > 1 and width // 2 >= n:
        width //= 2
    if n > 1 and c[1] != 1 and not _narrow(n, m, k, b[::-1], size):
        width = 1
    straight = m * n * k <= STRAIGHT_LIMIT and m * -(-n // (64 // size)) * k <= STRAIGHT_LIMIT // 4
    chains = 1
    while not straight and chains < 8 and m * -(-n // (64 // size)) * chains < 8 and k >= 8 * chains:
        chains *= 2
    rows, vectors = register_tile(m, n, k, width, vector_bytes, chains)
    panels = -(-n // (vectors * width))
    pack_a = width > 1 and a[1] * size >= FAR_STEP and m * k * size >= PACK_A_BYTES and panels >= 4
    near = ROWS_BYTES // 2 if pack_a else ROWS_BYTES  # a packed strip has padding
    block = k
    if chains == 1 and k > BLOCK * 3 // 2:
        block = -(-k // round(k / BLOCK))
        block += -block % 8
    strip = m
    largest = max(rows, near // (block * size) // rows * rows) if block else m
    if m > largest * 3 // 2:
        strip = -(-m // -(-m // largest))
        strip += -strip % rows
    heavy = (m >= 64 and k * n * size >= NEAR_BYTES) or (m >= 32 and k * n * size >= MID_BYTES)
    pack_b = b[1] != 1 or (panels > 1 and heavy)
    pack_b = width > 1 and (pack_a or pack_b)
    windowed = windowed and not straight and not swapped and m * n * size > WINDOW_BYTES
    if windowed:
        strip = max(rows, min(strip, WINDOW_BYTES // (n * size)) // rows * rows)
        pack_b = pack_b or width > 1
    rows_first = not windowed and b[1] == 1 and k <= 64 and k * n * size <= ROWS_BYTES and m * n * size > max(4, k) * (1 << 18)
    pack_b = pack_b and not rows_first
    kind = "straight" if straight else "tiles"
    return MatmulPlan(
        kind,
        swapped,
        m,
        n,
        k,
        a,
        b,
        c,
        size,
        width,
        rows,
        vectors,
        chains,
        block,
        strip,
        pack_a and not straight,
        pack_b and not straight,
        rows_first,
        windowed,
    )


def _swap(m: int, n: int, c: Strides) -> bool:
    """Say whether vectors run along the rows of C: it is contiguous there, or has elements there alone."""
    natural = c[1] == 1 or n == 1
    turned = c[0] == 1 or m == 1
    if natural and turned:
        return m > n
    return turned and not natural


def _narrow(m: int, n: int, k: int, a: Strides, size: int) -> bool:
    """Say whether C has so few columns that vectors pay along its rows, though each of their elements is stored by itself."""
    lanes = 64 // size
    return n < lanes <= m and 2 * n <= m and k >= 2 * lanes and a[0] == 1


def _dots(m: int, n: int, k: int, a: Strides, b: Strides, size: int) -> bool:
    most = LONG_DOT_LIMIT if k * size >= 512 else DOT_LIMIT
    return min(m, n) <= most and a[1] == 1 and b[0] == 1 and k * size >= 64


def _dot_tile(m: int, n: int, vector_bytes: int) -> tuple[int, int]:
    """Return rows and columns of a tile of dot products: up to sixteen sums, four where registers are narrow."""
    most = 4 if vector_bytes >= 64 else 2
    few = min(m, n)
    few = -(-few // -(-few // most))
    many = min(max(m, n), 8 if few == 1 else most * most // few)
    return (few, many) if m <= n else (many, few)


def register_tile(m: int, n: int, k: int, width: int, vector_bytes: int, chains: int) -> tuple[int, int]:
    """Choose the register tile with the least estimated time over the whole product."""
    registers = 16 if vector_bytes == 32 else 32
    groups = max(1, -(-n // width))
    best = None
    for vectors in range(1, min(groups, 8) + 1):
        most = (registers - vectors - 2) // (vectors * chains)
        for rows in range(1, min(m, most, 16) + 1):
            cost = _cost(m, groups, k, rows, vectors, chains)
            if best is None or cost < best[0]:
                best = cost, rows, vectors
    return (best[1], best[2]) if best else (1, 1)


def _cost(m: int, groups: int, k: int, rows: int, vectors: int, chains: int) -> float:
    """Estimate cycles: two multiply-adds or loads in each, four of latency, a price per tile.

    Loads count as measured: those of B miss the nearest cache at times.
    """
    cycles, variants = 0.0, 0
    for height, down in ((rows, m // rows), (m % rows, 1)):
        for breadth, across in ((vectors, groups // vectors), (groups % vectors, 1)):
            if height == 0 or breadth == 0 or down * across == 0:
                continue
            variants += 1
            loads = height + 2 * breadth
            step = max(height * breadth / 2, 0.55 * loads, 4 / chains) + 0.03 * loads
            cycles += down * across * (k * step + height * breadth + 2 * height + 12)
    return cycles + 100 * variants
