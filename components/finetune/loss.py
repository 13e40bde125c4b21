"""The pairwise sigmoid loss, and which pairs it must leave alone.

B = pairs in the batch, D = embedding width. z is unit length along D.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def sigmoid_loss(z_img_BD: Tensor, z_txt_BD: Tensor, log_scale: Tensor, bias: Tensor, same_BB: Tensor) -> Tensor:
    """Mean over images of the summed pair losses, in nats, lower is better (Zhai et al. 2023, eq. 1).

    same_BB marks pairs that show the same thing: off the diagonal they are neither positive nor negative.
    """
    logit_BB = z_img_BD @ z_txt_BD.T * log_scale.exp() + bias
    eye_BB = torch.eye(len(logit_BB), dtype=torch.bool, device=logit_BB.device)
    sign_BB = torch.where(eye_BB, 1.0, -1.0)
    counted_BB = eye_BB | ~same_BB
    return -(logsigmoid(sign_BB * logit_BB) * counted_BB).sum(dim=1).mean()


def same_thing(titles: list[str], products: list[str | None], phashes: np.ndarray, max_distance: int) -> np.ndarray:
    """bool (B, B), true where two rows have one title, one product, or near-duplicate photos.

    Titles are compared without case; `phashes` is uint64 (B,), near means a Hamming distance of at most `max_distance` of 64 bits.
    """
    title = np.array([t.casefold() for t in titles])
    product = np.array([p if p else f"\0{row}" for row, p in enumerate(products)])
    near_BB = np.bitwise_count(phashes[:, None] ^ phashes[None, :]) <= max_distance
    same_BB: np.ndarray = (title[:, None] == title[None, :]) | (product[:, None] == product[None, :]) | near_BB
    return same_BB
