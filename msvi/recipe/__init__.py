"""What is trained for given data: variants of the recipe, what the data suggest, the model of both."""
