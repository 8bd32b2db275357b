package app;

import java.util.List;
import java.util.Map;
import java.util.Set;

/** A bean of the usual types. */
public class Order {
    public enum Kind { NEW, OLD }

    private String id;
    private int count;
    private Long total;
    private boolean paid;
    private List<Order> parts;
    private Map<String, Double> prices;
    private Set<Kind> kinds;
    private int[] numbers;
    public String note;

    public String getId() {
        return id;
    }

    public void setId(String id) {
        this.id = id;
    }

    public int getCount() {
        return count;
    }

    public void setCount(int count) {
        this.count = count;
    }

    public Long getTotal() {
        return total;
    }

    public void setTotal(Long total) {
        this.total = total;
    }

    public boolean isPaid() {
        return paid;
    }

    public void setPaid(boolean paid) {
        this.paid = paid;
    }

    public List<Order> getParts() {
        return parts;
    }

    public void setParts(List<Order> parts) {
        this.parts = parts;
    }

    public Map<String, Double> getPrices() {
        return prices;
    }

    public void setPrices(Map<String, Double> prices) {
        this.prices = prices;
    }

    public Set<Kind> getKinds() {
        return kinds;
    }

    public void setKinds(Set<Kind> kinds) {
        this.kinds = kinds;
    }

    public int[] getNumbers() {
        return numbers;
    }

    public void setNumbers(int[] numbers) {
        this.numbers = numbers;
    }
}
