"""Batch statistics over the photos of every process, as one process would take them.

Shape suffixes: W processes, C channels.
"""

import torch
from torch import Tensor, nn

from components.finetune.world import World


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose mean and variance are of the batches of all ranks, which are equally large.

    torch's SyncBatchNorm does the same, but on GPUs alone, where it could not be held to one process's results on a CPU.
    """

    def __init__(self, like: nn.BatchNorm2d, world: World) -> None:
        super().__init__(like.num_features, like.eps, like.momentum)
        self.weight, self.bias = like.weight, like.bias
        self.running_mean, self.running_var, self.num_batches_tracked = like.running_mean, like.running_var, like.num_batches_tracked
        self.world = world

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Same shape and type."""
        if not self.training:
            return super().forward(x_BCHW)
        wide = x_BCHW.to(torch.promote_types(x_BCHW.dtype, torch.float32))
        var_C, mean_C = torch.var_mean(wide, dim=(0, 2, 3), correction=0)
        mean_WC, var_WC = self.world.gathered(torch.stack([mean_C, var_C])[None]).unbind(dim=1)
        mean_C = mean_WC.mean(dim=0)
        var_C = (var_WC + (mean_WC - mean_C) ** 2).mean(dim=0)
        self._keep(mean_C.detach(), var_C.detach(), self.world.size * wide.numel() // wide.shape[1])
        scale_C = self.weight * torch.rsqrt(var_C + self.eps)
        return ((wide - mean_C[:, None, None]) * scale_C[:, None, None] + self.bias[:, None, None]).to(x_BCHW.dtype)

    @torch.no_grad()
    def _keep(self, mean_C: Tensor, var_C: Tensor, count: int) -> None:
        """Moves the running statistics towards those of this batch; the variance kept is the unbiased one."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean_C, self.momentum or 0.0)
        self.running_var.lerp_(var_C * count / max(1, count - 1), self.momentum or 0.0)


def share_statistics(module: nn.Module, world: World) -> None:
    """Puts a SharedBatchNorm with the same weights in the place of every batch normalisation in the module."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, SharedBatchNorm(child, world))
        else:
            share_statistics(child, world)
