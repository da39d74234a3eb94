"""A scalar at every position: the reward model and the critic."""

import torch
from torch import Tensor, nn

from preceptor.models.transformer import Transformer


class ScalarModel(nn.Module):
    """A decoder whose language-model head is replaced by one linear output with a bias.

    The reward model reads it at the last token of a response, the critic at every token.
    Saved as Hugging Face's token classification with one label, the one head of theirs
    that keeps the bias.
    """

    def __init__(self, trunk: Transformer):
        super().__init__()
        self.trunk = trunk
        self.score = nn.Linear(trunk.config.hidden_size, 1, bias=True)

    def initialise_head(self, generator: torch.Generator) -> None:
        """Weights N(0, 1/sqrt(d + 1)), bias 0 (Stiennon et al. 2020; "The N+ implementation details")."""
        std = (self.score.in_features + 1) ** -0.5
        self.score.weight.data.normal_(0.0, std, generator=generator)
        self.score.bias.data.zero_()

    def zero_head(self) -> None:
        """Give 0 everywhere, until it has learnt."""
        self.score.weight.data.zero_()
        self.score.bias.data.zero_()

    def forward(
        self,
        ids_BT: Tensor,
        segments_BT: Tensor | None = None,
        *,
        branches_BT: Tensor | None = None,
        only_BT: Tensor | None = None,
    ) -> Tensor:
        """Scores (B, T), float32, one at every position; or (N,), at those alone where ``only_BT`` is True."""
        hidden = self.trunk.hidden(ids_BT, segments_BT, branches_BT=branches_BT, only_BT=only_BT)
        # In float32 whatever the trunk is in.
        scores: Tensor = self.score(hidden.to(self.score.weight.dtype)).squeeze(-1).float()
        return scores
