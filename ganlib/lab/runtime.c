// What every compiled module shares: a matrix product, and seeded noise.
// Plain C: clang turns the vector type into WebAssembly's 128-bit lanes.
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <tgmath.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define KERNEL __attribute__((noinline)) static void
#define SMALL __attribute__((minsize))

#ifdef SCRATCH
typedef float eight __attribute__((vector_size(32), aligned(4)));
static float scratch[SCRATCH];

// C[M, N] = A[M, K] B[K, N] (+ bias[N]); A and B have any strides, C is contiguous.
KERNEL matmul(int M, int N, int K, const float *A, int a0, int a1, const float *B, int b0,
                   int b1, float *C, const float *bias) {
  int n = 0;
  float *column = scratch;
  if (N >= 8 && b1 != 1) {  // rows that can be loaded eight at a time
    for (int k = 0; k < K; k++)
      for (int j = 0; j < N; j++) scratch[k * N + j] = B[k * b0 + j * b1];
    B = scratch, b0 = N, b1 = 1, column = scratch + K * N;
  }
  for (; n + 8 <= N; n += 8) {
    const eight start = bias ? *(const eight *)(bias + n) : (eight){0};
    int m = 0;
    for (; m + 4 <= M; m += 4) {
      eight c0 = start, c1 = start, c2 = start, c3 = start;
      const float *a = A + m * a0, *b = B + n;
      for (int k = 0; k < K; k++, a += a1, b += b0) {
        const eight row = *(const eight *)b;
        c0 += a[0] * row, c1 += a[a0] * row, c2 += a[2 * a0] * row, c3 += a[3 * a0] * row;
      }
      *(eight *)(C + m * N + n) = c0, *(eight *)(C + (m + 1) * N + n) = c1;
      *(eight *)(C + (m + 2) * N + n) = c2, *(eight *)(C + (m + 3) * N + n) = c3;
    }
    for (; m < M; m++) {
      eight c = start;
      for (int k = 0; k < K; k++) c += A[m * a0 + k * a1] * *(const eight *)(B + k * b0 + n);
      *(eight *)(C + m * N + n) = c;
    }
  }
  for (; n < N; n++) {  // the last columns, eight rows or eight terms at a time
    const float start = bias ? bias[n] : 0;
    for (int k = 0; k < K; k++) column[k] = B[k * b0 + n * b1];
    int m = 0;
    if (a0 == 1)
      for (; m + 8 <= M; m += 8) {
        eight c = {0};
        for (int k = 0; k < K; k++) c += column[k] * *(const eight *)(A + m + k * a1);
        for (int i = 0; i < 8; i++) C[(m + i) * N + n] = c[i] + start;
      }
    for (; m < M; m++) {
      const float *a = A + m * a0;
      eight c = {0};
      float s = start;
      int k = 0;
      if (a1 == 1)
        for (; k + 8 <= K; k += 8) c += *(const eight *)(column + k) * *(const eight *)(a + k);
      for (; k < K; k++) s += column[k] * a[k * a1];
      C[m * N + n] = ((c[0] + c[1]) + (c[2] + c[3])) + ((c[4] + c[5]) + (c[6] + c[7])) + s;
    }
  }
}
#endif

#ifdef JUDGED
// A formula of the critic's output as a program for a stack of values and their slopes, an
// instruction at a time over the whole batch; the instructions are numbered in formula.py.
static float level[9][JUDGED], steep[9][JUDGED];

// x to the power c: by products for a whole c, else by what the module holds anyway. The C
// library's powf would be another kilobyte over the wire.
SMALL static float raised(float x, float c) {
  const float size = fabsf(c);
  int whole = (int)size;
  if (whole != size) return expf(c * logf(x));
  float product = 1;
  for (; whole; whole >>= 1, x *= x)
    if (whole & 1) product *= x;
  return c < 0 ? 1 / product : product;
}

SMALL KERNEL formula(int n, const float *s, const float *program, float *value, float *slope) {
  int top = 0;
  for (int i = 0; i < n; i++) level[0][i] = steep[0][i] = 0;
  for (int at = 0; at < 128 && program[at]; at += 2) {
    const int operation = (int)program[at];
    const float c = program[at + 1];
    if (operation < 3) top++;
    if (operation > 11) top--;
    float *u = level[top], *du = steep[top];
    for (int i = 0; i < n; i++) {
      const float x = u[i], dx = du[i];
      const float y = operation > 11 ? u[i + JUDGED] : 0, dy = operation > 11 ? du[i + JUDGED] : 0;
      float v = x, d = dx;
      switch (operation) {
        case 1: v = s[i], d = 1; break;
        case 2: v = c, d = 0; break;
        case 3: v = -x, d = -dx; break;
        case 4: v = raised(x, c), d = c * raised(x, c - 1) * dx; break;
        case 5: v = expf(x), d = v * dx; break;
        case 6: v = logf(x), d = 1 / x * dx; break;
        case 7: v = sqrtf(x), d = 0.5f / v * dx; break;
        case 8: v = fabsf(x), d = ((x > 0) - (x < 0)) * dx; break;
        case 9: v = tanhf(x), d = (1 - v * v) * dx; break;
        case 10: v = 1 / (1 + expf(-x)), d = v * (1 - v) * dx; break;
        case 11: {
          const float z = expf(-fabsf(x)), share = z / (1 + z);
          v = (x > 0 ? x : 0) + log1pf(z), d = (x > 0 ? 1 - share : share) * dx;
          if (x != x) v = x;
          break;
        }
        case 12: v = x + y, d = dx + dy; break;
        case 13: v = x - y, d = dx - dy; break;
        case 14: v = x * y, d = dx * y + x * dy; break;
        case 15: v = x / y, d = (dx - v * dy) / y; break;
        // Where both are equal, the one that has a slope counts.
        default:
          if (!((operation == 16 ? x > y : x < y) || (x == y && dx) || x != x)) v = y, d = dy;
      }
      u[i] = v, du[i] = d;
    }
  }
  for (int i = 0; i < n; i++) value[i] = level[top][i], slope[i] = steep[top][i];
}
#endif

#ifdef NOISE
// Philox4x32-10 (Salmon et al. 2011): the n-th four words of a stream are a function of
// (seed, stream, n) alone, so any run, at any time, can be drawn again.
static void philox(uint32_t x[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const uint64_t p = (uint64_t)0xD2511F53u * x[0], q = (uint64_t)0xCD9E8D57u * x[2];
    const uint32_t y0 = (uint32_t)(q >> 32) ^ x[1] ^ k0, y2 = (uint32_t)(p >> 32) ^ x[3] ^ k1;
    x[0] = y0, x[1] = (uint32_t)q, x[2] = y2, x[3] = (uint32_t)p;
  }
}

// Uniform on the open interval (0, 1), 24 bits each: never 0, so that a logarithm may follow.
EXPORT("uniform") SMALL void uniform(float *out, int count, uint32_t seed, uint32_t stream) {
  for (int i = 0; i < count; i += 4) {
    uint32_t x[4] = {(uint32_t)i / 4, 0, 0, 0};
    philox(x, seed, stream);
    for (int j = 0; j < 4 && i + j < count; j++)
      out[i + j] = ((float)(x[j] >> 9) + 0.5f) * 0x1p-23f;
  }
}

// The point at a given share of the unit circle's turn. Quarters are taken off exactly; within
// one, polynomials of an eighth of a turn each way (Moshier's Cephes) are right to the last bit
// or two, in a tenth of the C library's code.
static void circle(float turn, float *x, float *y) {
  const int quarter = (int)(4 * turn + 0.5f);
  const float a = 1.57079632679489661923f * (4 * turn - quarter), z = a * a;
  const float s = a + a * z * (-1.6666654611e-1f + z * (8.3321608736e-3f - z * 1.9515295891e-4f));
  const float c =
      1 - 0.5f * z + z * z * (4.1666645683e-2f + z * (-1.3887316255e-3f + z * 2.4433157118e-5f));
  const float across = quarter & 1 ? -s : c, up = quarter & 1 ? c : s;
  *x = quarter & 2 ? -across : across, *y = quarter & 2 ? -up : up;
}

// Standard normal (Box and Muller 1958), in pairs.
EXPORT("normal") SMALL void normal(float *out, int count, uint32_t seed, uint32_t stream) {
  uniform(out, count, seed, stream);
  for (int i = 0; i < count; i += 2) {
    const float radius = sqrtf(-2.0f * logf(out[i]));
    float x, y;
    circle(i + 1 < count ? out[i + 1] : 0.25f, &x, &y);
    out[i] = radius * x;
    if (i + 1 < count) out[i + 1] = radius * y;
  }
}
#endif
