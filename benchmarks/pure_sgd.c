/* Pure SGD on a 3-4-2-3-2 ReLU network with squared error: the update that benchmarks/pure_sgd.py compares with.
 *
 * The algorithm is retrograde's to the random bit: Philox4x32-10 (Salmon et al., 2011) gives each epoch's Fisher-Yates
 * order from (seed, epoch), so both see the same points in the same order. Sizes are compile-time constants and every
 * loop over them unrolls. The loss is the mean over the two outputs, hence a cotangent of f - y.
 */
#include <stdint.h>
#include <stdlib.h>

enum { N0 = 3, N1 = 4, N2 = 2, N3 = 3, N4 = 2 };

typedef struct {
    float w1[N1 * N0], b1[N1], w2[N2 * N1], b2[N2], w3[N3 * N2], b3[N3], w4[N4 * N3], b4[N4];
} Parameters;

#define INLINE static inline __attribute__((always_inline))

static void philox(uint64_t counter, const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = 0, c3 = 0, k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)c0 * 0xD2511F53u, p1 = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

static void fold_in(const uint32_t key[2], uint32_t data, uint32_t out[2]) {
    uint32_t mixed[2] = {key[0] ^ data, key[1] ^ 0x85EBCA6Bu}, words[4];
    philox(0, mixed, words);
    out[0] = words[2], out[1] = words[3];
}

static void permute(const uint32_t key[2], int64_t n, int64_t *order, uint32_t *bits) {
    for (int64_t block = 0; block < (n + 3) / 4; block++) philox((uint64_t)block, key, bits + 4 * block);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)(((uint64_t)bits[i] * (uint64_t)(i + 1)) >> 32), held = order[i];
        order[i] = order[j];
        order[j] = held;
    }
}

/* f = b + w h; the activation is taken by the reader. */
INLINE void forward(int out, int in, const float *w, const float *b, const float *h, float *f) {
    for (int i = 0; i < out; i++) {
        float sum = b[i];
        for (int j = 0; j < in; j++) sum += w[i * in + j] * h[j];
        f[i] = sum;
    }
}

INLINE void relu(int n, const float *f, float *h) {
    for (int i = 0; i < n; i++) h[i] = f[i] > 0 ? f[i] : 0;
}

/* From the cotangent of f: that of the preactivations before (where f_before is not null), then the step. */
INLINE void backward(int out, int in, float *w, float *b, const float *h, const float *df, const float *f_before,
                     float *df_before, float lr) {
    if (f_before)
        for (int j = 0; j < in; j++) {
            float sum = 0;
            for (int i = 0; i < out; i++) sum += w[i * in + j] * df[i];
            df_before[j] = f_before[j] > 0 ? sum : 0;
        }
    for (int i = 0; i < out; i++) {
        for (int j = 0; j < in; j++) w[i * in + j] -= lr * (df[i] * h[j]);
        b[i] -= lr * df[i];
    }
}

INLINE double update(Parameters *p, const float *x, const float *y, float lr) {
    float f1[N1], f2[N2], f3[N3], f4[N4], h1[N1], h2[N2], h3[N3], d1[N1], d2[N2], d3[N3], d4[N4], loss = 0;
    forward(N1, N0, p->w1, p->b1, x, f1);
    relu(N1, f1, h1);
    forward(N2, N1, p->w2, p->b2, h1, f2);
    relu(N2, f2, h2);
    forward(N3, N2, p->w3, p->b3, h2, f3);
    relu(N3, f3, h3);
    forward(N4, N3, p->w4, p->b4, h3, f4);
    for (int i = 0; i < N4; i++) {
        d4[i] = f4[i] - y[i];
        loss += d4[i] * d4[i];
    }
    backward(N4, N3, p->w4, p->b4, h3, d4, f3, d3, lr);
    backward(N3, N2, p->w3, p->b3, h2, d3, f2, d2, lr);
    backward(N2, N1, p->w2, p->b2, h1, d2, f1, d1, lr);
    backward(N1, N0, p->w1, p->b1, x, d1, 0, 0, lr);
    return loss / N4;
}

/* Train `epochs` epochs from number `first`; losses[i] is the mean over the updates of epoch i. Returns 0, or 1 where
 * there is no memory. */
int train(Parameters *given, const float *X, const float *Y, int64_t n, int64_t first, int64_t epochs, uint64_t seed, int shuffle,
          float lr, double *losses) {
    int64_t *order = malloc(sizeof(int64_t) * (size_t)n);
    uint32_t *bits = malloc(sizeof(uint32_t) * (size_t)(n + 3));
    if (!order || !bits) {
        free(order), free(bits);
        return 1;
    }
    Parameters p = *given;
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t epoch = 0; epoch < epochs; epoch++) {
        if (shuffle) {
            uint32_t of_epoch[2], of_order[2];
            fold_in(key, (uint32_t)(first + epoch), of_epoch);
            fold_in(of_epoch, 0, of_order);
            permute(of_order, n, order, bits);
        }
        double total = 0;
        for (int64_t i = 0; i < n; i++) total += update(&p, X + N0 * order[i], Y + N4 * order[i], lr);
        losses[epoch] = total / (double)n;
    }
    *given = p;
    free(order), free(bits);
    return 0;
}
