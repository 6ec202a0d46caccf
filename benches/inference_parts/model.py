"""SmolLM2's forward pass in NumPy, float32, with the attention left to the caller.

Llama's architecture: root mean square norms, rotary embeddings in halves (coordinate f pairs with
f + dim/2), grouped query heads, gated feed-forward layers, and an output matrix that is the
embedding's. Weights and tokens are those of a GGUF file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Heads:
    """What attention gets of one layer; all of one sequence.

    `q` is (kv_heads, group, tokens, dim), `k`, `unrotated` (k before the rotary embedding) and `v`
    are (kv_heads, tokens, dim). Query heads of one group share a key-value head.
    """

    layer: int
    q: Float
    k: Float
    unrotated: Float
    v: Float


#: From the heads of a layer to (kv_heads, group, tokens, dim).
Attention = Callable[[Heads], Float]


def rotate(x: Float, cos: Float, sin: Float) -> Float:
    """Rotates x (…, tokens, dim) by the angles whose cos and sin are (tokens, dim/2)."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def angles(frequencies: NDArray[np.float64], positions: NDArray[np.int64]) -> tuple[Float, Float]:
    """cos and sin, (positions, dim/2) each, of position times frequency."""
    phase = np.multiply.outer(positions.astype(np.float64), frequencies)
    return np.cos(phase).astype(np.float32), np.sin(phase).astype(np.float32)


@dataclass
class Layer:
    """Weights of one layer, each (in, out)."""

    attention_norm: Float
    qkv: Float
    output: Float
    feed_norm: Float
    gate_up: Float
    down: Float


class Model:
    """The weights of a GGUF file of a llama with rotary halves."""

    def __init__(self, path: Path) -> None:
        import gguf

        reader = gguf.GGUFReader(path)
        told = {name: field.contents() for name, field in reader.fields.items()}
        if told["general.architecture"] != "llama":
            raise ValueError(
                f"{path}: the architecture is {told['general.architecture']}, not llama"
            )
        self.name = f"{told['general.name']}, {path.name}"
        self.heads = int(told["llama.attention.head_count"])
        self.kv_heads = int(told["llama.attention.head_count_kv"])
        self.width = int(told["llama.embedding_length"])
        self.dim = self.width // self.heads
        self.theta = float(told["llama.rope.freq_base"])
        self.eps = np.float32(told["llama.attention.layer_norm_rms_epsilon"])
        self.told = told
        tensors = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in reader.tensors}
        read = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
        self.embedding = read["token_embd.weight"]
        self.norm = read["output_norm.weight"]
        self.layers = [self._layer(read, i) for i in range(int(told["llama.block_count"]))]

    def _layer(self, read: dict[str, Float], i: int) -> Layer:
        def weight(name: str) -> Float:
            return read[f"blk.{i}.{name}.weight"]

        def halves(name: str, heads: int) -> Float:
            """Undoes GGUF's order of a llama's q and k, whose pairs of coordinates are adjacent."""
            rows = weight(name).reshape(heads, self.dim // 2, 2, self.width)
            return rows.swapaxes(1, 2).reshape(heads * self.dim, self.width)

        qkv = [halves("attn_q", self.heads), halves("attn_k", self.kv_heads), weight("attn_v")]
        return Layer(
            attention_norm=weight("attn_norm"),
            qkv=np.ascontiguousarray(np.concatenate(qkv).T),
            output=np.ascontiguousarray(weight("attn_output").T),
            feed_norm=weight("ffn_norm"),
            gate_up=np.ascontiguousarray(np.concatenate([weight("ffn_gate"), weight("ffn_up")]).T),
            down=np.ascontiguousarray(weight("ffn_down").T),
        )

    @cached_property
    def tokenizer(self):
        """The tokenizer of the file's vocabulary and merges."""
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

        if self.told["tokenizer.ggml.pre"] != "smollm":
            raise ValueError(
                f"the tokens are split as {self.told['tokenizer.ggml.pre']}, not smollm"
            )
        words = self.told["tokenizer.ggml.tokens"]
        merges = [tuple(pair.split(" ")) for pair in self.told["tokenizer.ggml.merges"]]
        vocabulary = {word: i for i, word in enumerate(words)}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        digits = pre_tokenizers.Digits(individual_digits=True)
        letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, letters])
        tokenizer.decoder = decoders.ByteLevel()
        kinds = zip(words, self.told["tokenizer.ggml.token_type"], strict=True)
        tokenizer.add_special_tokens(
            [AddedToken(w, special=True) for w, kind in kinds if kind == 3]
        )
        return tokenizer

    def tokens(self, text: str) -> NDArray[np.int64]:
        """The tokens of a text; nothing is put before them."""
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Radians per position of each pair of coordinates, (dim/2,)."""
        return self.theta ** (-np.arange(0, self.dim, 2) / self.dim)

    def normed(self, x: Float, weight: Float) -> Float:
        square = np.einsum("td,td->t", x, x) / np.float32(x.shape[1])
        return x * (weight / np.sqrt(square + self.eps)[:, None])

    def hidden(self, tokens: NDArray[np.int64], attention: Attention, start: int = 0) -> Float:
        """The normed hidden rows of the positions from start on, (tokens - start, width)."""
        count = len(tokens)
        x = self.embedding[tokens]
        cos, sin = angles(self.frequencies, np.arange(count))
        cuts = [self.width, self.width + self.kv_heads * self.dim]
        group = self.heads // self.kv_heads
        for i, layer in enumerate(self.layers):
            rows = self.normed(x, layer.attention_norm) @ layer.qkv
            q, k, v = (
                part.reshape(count, -1, self.dim).swapaxes(0, 1)
                for part in np.split(rows, cuts, axis=1)
            )
            q = rotate(q, cos, sin).reshape(self.kv_heads, group, count, self.dim)
            heads = Heads(i, q, rotate(k, cos, sin), np.ascontiguousarray(k), v.copy())
            mixed = attention(heads).reshape(self.heads, count, self.dim)
            x = x + mixed.swapaxes(0, 1).reshape(count, self.width) @ layer.output
            gate, up = np.split(self.normed(x, layer.feed_norm) @ layer.gate_up, 2, axis=1)
            x = x + (gate / (1 + np.exp(-gate)) * up) @ layer.down
        return self.normed(x[start:], self.norm)

    def log_probabilities(self, hidden: Float) -> Float:
        """Of the next token, (rows, vocabulary)."""
        logits = hidden @ self.embedding.T
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, dtype=np.float64, keepdims=True)).astype(
            np.float32
        )
        return logits
