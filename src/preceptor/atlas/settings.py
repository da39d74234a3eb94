"""The keys of the built-in world."""

from pydantic import Field

from preceptor.config import Config


class AtlasConfig(Config):
    """How large the built-in world is, how much of its web is wrong or rude, how its labelers err."""

    countries: int = Field(70, ge=20, le=120, description="known countries, the most populous first")
    elements: int = Field(36, ge=10, le=80, description="known chemical elements, by atomic number")
    withheld_countries: int = Field(
        8, ge=1, le=12, description="countries in each of the two sets whose facts the corpus never states"
    )
    withheld_elements: int = Field(
        4, ge=1, le=10, description="elements in each of the two sets whose facts the corpus never states"
    )
    invented_names: int = Field(
        240, ge=20, le=1000, description="invented names in each of the three sets: training, test, passages"
    )
    documents: int = Field(90_000, ge=200, description="documents in the pretraining corpus")
    heldout_documents: int = Field(300, ge=10, description="documents kept for measuring perplexity")
    wrong_share: float = Field(0.1, ge=0, lt=0.5, description="share of the corpus's claims that are wrong")
    rude_share: float = Field(0.15, ge=0, lt=1, description="share of the corpus's replies that are rude")
    train_prompts: int = Field(10_000, ge=20, description="prompts of training users")
    dev_prompts: int = Field(300, ge=10, description="prompts of development users, for tuning")
    heldout_prompts: int = Field(1000, ge=10, description="prompts of held-out users, for the evaluation")
    prefix_words: int = Field(
        12, ge=4, description="prompts that share this many first words are taken for one, and the first is kept"
    )
    demonstrations: int = Field(8000, ge=10, description="training prompts that labelers answer")
    flawed_share: float = Field(0.48, ge=0, le=1, description="share of the demonstrations that have a flaw")
    labelers: int = Field(40, ge=2, description="simulated labelers")
    noise_scale: float = Field(
        0.21, ge=0, description="standard deviation of a labeler's noise, in units of the gold score"
    )
    bias_scale: float = Field(1.0, ge=0, description="how far labelers differ in what they value; 0 = all alike")
    tie_width: float = Field(0.12, ge=0, description="a labeler ranks responses equal that she sees this close")
    truthfulness_known: int = Field(200, ge=5, description="direct questions about known facts in the evaluation")
    truthfulness_invented: int = Field(100, ge=5, description="direct questions about invented names")
    harmlessness_prompts: int = Field(150, ge=5, description="prompts apt to draw rude replies")
