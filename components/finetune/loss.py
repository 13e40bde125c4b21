"""The pairwise sigmoid loss over a whole batch, and which pairs it must leave alone.

B = pairs in the batch, b = those of one process, r = rows at a time, D = embedding width. z is unit length along D.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Same = Callable[[slice], Tensor]

MAX_CELLS = 2**22  # of the matrix of logits at a time, 16 MiB each; up to 2,048 pairs are one piece


def sigmoid_loss(
    z_img_bD: Tensor,
    z_txt_BD: Tensor,
    log_scale: Tensor,
    bias: Tensor,
    same: Same,
    *,
    first: int = 0,
    max_cells: int = MAX_CELLS,
) -> Tensor:
    """Mean over images of the summed pair losses, in nats, lower is better (Zhai et al. 2023, eq. 1).

    The images are the batch's rows from `first` on, the titles all of it. `same` gives rows of the bool (B, B) that marks pairs which
    show the same thing: off the diagonal they are neither positive nor negative. Where there are many, the rows are taken in pieces, so
    that memory does not grow with the square of the batch (section 3.3); the gradients are the same.
    """
    rows = max(1, max_cells // len(z_txt_BD))
    if len(z_img_bD) <= rows:
        return _row_losses(z_img_bD, z_txt_BD, log_scale, bias, same, first).mean()
    loss: Tensor = _InPieces.apply(z_img_bD, z_txt_BD, log_scale, bias, same, first, rows)  # type: ignore[no-untyped-call]
    return loss


class _InPieces(torch.autograd.Function):
    """The mean of the row losses. Its gradients are found on the way there, piece by piece: nothing else of a piece is kept."""

    @staticmethod
    def forward(ctx: Any, z_img_bD: Tensor, z_txt_BD: Tensor, log_scale: Tensor, bias: Tensor, same: Same, first: int, rows: int) -> Tensor:
        text, scale, shift = [part.detach().requires_grad_() for part in (z_txt_BD, log_scale, bias)]
        found_img, *found = [torch.zeros_like(part) for part in (z_img_bD, text, scale, shift)]  # at once: small ones in between would
        total = torch.zeros((), device=z_img_bD.device)  # lie in the gaps that large ones leave
        for start in range(0, len(z_img_bD), rows):
            z_img_rD = z_img_bD[start : start + rows].detach().requires_grad_()
            with torch.enable_grad():
                loss = _row_losses(z_img_rD, text, scale, shift, same, first + start).sum() / len(z_img_bD)
            found_img[start : start + rows], *grads = torch.autograd.grad(loss, (z_img_rD, text, scale, shift))
            for sum_so_far, grad in zip(found, grads, strict=True):
                sum_so_far += grad
            total += loss.detach()
        ctx.save_for_backward(found_img, *found)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return (*(grad * part for part in ctx.saved_tensors), None, None, None)


def _row_losses(z_img_rD: Tensor, z_txt_BD: Tensor, log_scale: Tensor, bias: Tensor, same: Same, first: int) -> Tensor:
    """(r,) the summed pair losses of each image."""
    logit_rB = z_img_rD @ z_txt_BD.T * log_scale.exp() + bias
    own_r1 = torch.arange(first, first + len(logit_rB), device=logit_rB.device)[:, None]
    own_rB = own_r1 == torch.arange(len(z_txt_BD), device=logit_rB.device)
    sign_rB = torch.where(own_rB, 1.0, -1.0)
    counted_rB = own_rB | ~same(slice(first, first + len(logit_rB)))
    return -(logsigmoid(sign_rB * logit_rB) * counted_rB).sum(dim=1)


@dataclass(frozen=True)
class Alike:
    """What tells which of B pairs show the same thing: one title, one product, or near-duplicate photos.

    Equal titles (but for case) have equal numbers, so have equal products; an unknown product has a number of its own. A photo's hash
    is kept as its 64 bits, each -1 or 1: the product of two photos' bits is 64 less twice the bits they differ in.
    """

    title_B: Tensor
    product_B: Tensor
    bit_B64: Tensor
    max_distance: int

    @classmethod
    def of(cls, titles: list[str], products: list[str | None], phashes: np.ndarray, max_distance: int) -> "Alike":
        """Of a whole side. `phashes` is uint64 (B,); near means a Hamming distance of at most `max_distance` of 64 bits."""
        bits = np.unpackbits(np.ascontiguousarray(phashes)[:, None].view(np.uint8), axis=1).astype(np.int8) * 2 - 1
        product_B = _numbers(product or (row,) for row, product in enumerate(products))
        return cls(_numbers(title.casefold() for title in titles), product_B, torch.from_numpy(bits), max_distance)

    def of_rows(self, rows: Tensor, device: torch.device) -> "Alike":
        """The same of some rows alone, on a device."""
        title_B, product_B, bit_B64 = (part[rows].to(device) for part in (self.title_B, self.product_B, self.bit_B64))
        return Alike(title_B, product_B, bit_B64.float(), self.max_distance)

    def same(self, rows: slice) -> Tensor:
        """bool (r, B), true where a pair of these rows and one of the batch show the same thing."""
        near_rB = self.bit_B64[rows].float() @ self.bit_B64.float().T >= 64 - 2 * self.max_distance
        return near_rB | (self.title_B[rows, None] == self.title_B) | (self.product_B[rows, None] == self.product_B)


def _numbers(keys: Iterable[Hashable]) -> Tensor:
    """int64: one number for equal keys."""
    number_of: dict[Hashable, int] = {}
    return torch.tensor([number_of.setdefault(key, len(number_of)) for key in keys], dtype=torch.int64)
