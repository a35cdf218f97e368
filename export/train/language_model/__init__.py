"""The language model: vocabulary, conversations, training examples, training."""
